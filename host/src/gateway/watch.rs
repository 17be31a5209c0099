//! How channels stand: what `channel status` shows, and what the operator hears by another channel, for one that is down can't
//! say so itself.
//!
//! Trouble is looked for, not reported: whatever the reason, what counts is that a transport does not work now and did not
//! all the time before. So no state of a transport has to be announced, and one that comes and goes is told once.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::{Gateway, lock};
use crate::message::{Delivery, DeliveryContent, new_id, now};
use crate::output::drawn;
use crate::plugin::aside::Aside;
use crate::plugin::registry::RoleKind;
use crate::runtime::in_words as in_words_of;
use crate::session::Outlet as _;
use crate::store::StoreError;
use crate::transport::State;
use crate::wit::openpista::gateway::gateway::Notice;

/// Channels are looked at so often.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// A channel works again when it did for so long.
const STEADY: Duration = Duration::from_secs(10);
/// One that did not open is tried again after so long.
const REOPEN: Duration = Duration::from_secs(60);
/// A code is a new one every few seconds; so many of a channel are drawn between what is said on the console.
const CODES: u32 = 3;
/// Sessions among which the operator's last one is looked for.
const RECENT: usize = 50;

/// Who hears of a channel that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Conversations, as `session list` shows them. None: the last one of a channel in which people sign in.
    pub notify: Vec<String>,
    /// How long a channel that tries again by itself may be down before.
    pub after: Duration,
}

/// How a channel stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChannelStatus {
    /// The instance.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// Why it is not open, or shows nothing.
    pub failed: Option<String>,
    /// What it wants the operator to know.
    pub notice: Option<String>,
    /// The content of a QR code that it wants the operator to scan.
    pub qr: Option<String>,
}

/// What is known of channels that do not work.
#[derive(Default)]
pub(super) struct Watch {
    troubles: BTreeMap<String, Trouble>,
    /// How many codes of a channel were shown on the console.
    codes: BTreeMap<String, u32>,
    reopened: Option<Instant>,
    /// Instances that were set aside, and since when: each is told once, however often it is set aside again.
    aside: BTreeMap<(RoleKind, String), Instant>,
}

struct Trouble {
    why: String,
    since: Instant,
    /// It works, since then.
    well: Option<Instant>,
    told: bool,
}

/// What is wrong with a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    why: String,
    /// It will not go away by itself.
    waits: bool,
}

impl Watch {
    /// What there is to tell now that the channels stand so, and of which channel.
    fn look(&mut self, faults: &BTreeMap<String, Fault>, after: Duration, at: Instant) -> Vec<(String, String)> {
        let mut news = Vec::new();
        for (name, fault) in faults {
            let trouble = self.troubles.entry(name.clone()).or_insert_with(|| Trouble {
                why: fault.why.clone(),
                since: at,
                well: None,
                told: false,
            });
            trouble.well = None;
            // Another reason of one that waits for a person is another thing to do.
            let other = fault.waits && trouble.why != fault.why;
            trouble.why.clone_from(&fault.why);
            if (fault.waits || at.duration_since(trouble.since) >= after) && (!trouble.told || other) {
                trouble.told = true;
                news.push((
                    name.clone(),
                    format!("⚠️ The channel {name} does not work: {}\n\nSee: openpista-host channel status", fault.why),
                ));
            }
        }
        self.troubles.retain(|name, trouble| {
            if faults.contains_key(name) {
                return true;
            }
            let well = *trouble.well.get_or_insert(at);
            if at.duration_since(well) < STEADY {
                return true;
            }
            if trouble.told {
                news.push((name.clone(), format!("✅ The channel {name} works again.")));
            }
            false
        });
        news
    }

    /// What there is to tell of an instance that is set aside.
    fn set_aside(&mut self, role: RoleKind, name: &str, plugin: &str, aside: &Aside) -> Option<String> {
        let told = self.aside.get(&(role, name.to_string()));
        if told.is_some_and(|since| aside.times > 1 || *since == aside.since) {
            return None;
        }
        self.aside.insert((role, name.to_string()), aside.since);
        let pause = in_words_of(aside.until.duration_since(aside.since));
        Some(format!(
            "⚠️ {name} ({plugin}) is not used for {pause}: it broke again and again, the last time because {}. If that goes \
             on, the pauses grow up to an hour.\n\nSee: openpista-host plugin log {name}\nTo use it at once: \
             openpista-host plugin resume {name}",
            aside.why
        ))
    }

    /// Whether channels that did not open are to be tried again.
    fn reopens(&mut self, at: Instant) -> bool {
        let due = self.reopened.is_none_or(|last| at.duration_since(last) >= REOPEN);
        if due {
            self.reopened = Some(at);
        }
        due
    }
}

impl Gateway {
    /// How channels stand.
    pub fn channel_status(&self) -> Vec<ChannelStatus> {
        let (notices, refused) = (lock(&self.notices).clone(), lock(&self.refused).clone());
        let snapshot = self.parts.registry.snapshot();
        snapshot
            .of(RoleKind::Channel)
            .map(|channel| ChannelStatus {
                name: channel.name.clone(),
                plugin: channel.plugin.manifest.name.clone(),
                failed: self.opened(&channel.name).failed.or_else(|| refused.get(&channel.name).cloned()),
                notice: notices.get(&channel.name).and_then(in_words),
                qr: notices.get(&channel.name).and_then(valid_code).map(str::to_string),
            })
            .collect()
    }

    /// Whether a delivery of a channel found its credential good; if not, why.
    pub(super) fn credential(&self, instance: &str, refused: Option<&str>) {
        let mut all = lock(&self.refused);
        match refused {
            Some(why) => {
                all.insert(instance.to_string(), self.parts.known.cleaned(why.to_string()));
            }
            None => {
                all.remove(instance);
            }
        }
    }

    /// A channel has a word for the operator.
    pub(super) fn notice(&self, instance: &str, notice: Notice) {
        match &notice {
            Notice::Clear => {
                lock(&self.notices).remove(instance);
                lock(&self.watch).codes.remove(instance);
                return;
            }
            Notice::Text(text) => tracing::warn!(instance, "{text}"),
            Notice::Qr((code, _)) => {
                tracing::warn!(instance, "a QR code waits to be scanned: openpista-host channel status");
                self.draw(instance, code);
            }
            Notice::Other(_) => (),
        }
        lock(&self.notices).insert(instance.to_string(), notice);
    }

    /// Shows a code on the console, if there is one.
    fn draw(&self, instance: &str, code: &str) {
        let count = {
            let mut watch = lock(&self.watch);
            let count = watch.codes.entry(instance.to_string()).or_default();
            *count = count.saturating_add(1);
            *count
        };
        if let Some(lines) = drawn(code, false).filter(|_| count <= CODES) {
            let newer = if count == CODES { "\nNewer ones: openpista-host channel status" } else { "" };
            self.parts.hub.console_says(&format!("To be scanned for {instance}:\n{}{newer}", lines.join("\n")));
        }
    }

    /// Looks how channels stand, and tells what has changed.
    pub(super) async fn watch_over(&self) {
        let faults = self.faults();
        let at = Instant::now();
        let (news, reopens) = {
            // A refused credential is no reason to open again.
            let failed = {
                let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
                channels.values().any(|channel| channel.failed.is_some())
            };
            let mut watch = lock(&self.watch);
            (watch.look(&faults, self.parts.operator.after, at), failed && watch.reopens(at))
        };
        if let (true, Some(me)) = (reopens, self.me.upgrade()) {
            // An `open` may take half a minute, and nobody else waits for it.
            tokio::spawn(async move { me.reconcile().await });
        }
        for (name, words) in self.set_aside() {
            if let Err(error) = self.tell_operator(&name, &faults, words).await {
                tracing::error!("the operator is not told of {name}: {error}");
            }
        }
        for (channel, words) in news {
            if let Err(error) = self.tell_operator(&channel, &faults, words).await {
                tracing::error!("the operator is not told of {channel}: {error}");
            }
        }
    }

    /// Who was set aside since the last look, in words.
    fn set_aside(&self) -> Vec<(String, String)> {
        let snapshot = self.parts.registry.snapshot();
        let aside =
            snapshot.instances.iter().filter_map(|(key, instance)| Some((key, instance, instance.record.aside()?)));
        let mut watch = lock(&self.watch);
        let told = aside.filter_map(|((role, name), instance, aside)| {
            let words = watch.set_aside(*role, name, &instance.plugin.manifest.name, &aside)?;
            // Only a channel can not tell of itself.
            let about = if *role == RoleKind::Channel { name.clone() } else { String::new() };
            Some((about, self.parts.known.cleaned(words)))
        });
        told.collect()
    }

    /// What is wrong now, by instance.
    fn faults(&self) -> BTreeMap<String, Fault> {
        let mut faults = BTreeMap::new();
        for transport in self.parts.hub.status() {
            let fault = match transport.state {
                State::BackingOff { reason, .. } => Fault { why: reason, waits: false },
                State::AuthRequired { reason } => Fault { why: reason, waits: true },
                State::Starting => Fault { why: "no connection comes about".into(), waits: false },
                State::Listening | State::Open | State::Off { .. } => continue,
            };
            let known = faults.entry(transport.instance).or_insert_with(|| fault.clone());
            if fault.waits && !known.waits {
                *known = fault;
            }
        }
        for channel in self.channel_status() {
            if let Some(why) = channel.failed.or(channel.notice) {
                faults.insert(channel.name, Fault { why, waits: true });
            }
        }
        faults
    }

    /// Says something in the operator's conversations, but not by the channel that it is about.
    async fn tell_operator(
        &self,
        about: &str,
        faults: &BTreeMap<String, Fault>,
        words: String,
    ) -> Result<(), StoreError> {
        let mut places = Vec::new();
        for conversation in &self.parts.operator.notify {
            match self.place(conversation)? {
                Some(instance) if instance == about => (),
                Some(instance) => places.push((instance, conversation.clone())),
                None => tracing::warn!("there is no conversation {conversation}, which [operator] notify names"),
            }
        }
        self.parts.hub.console_says(&words);
        if self.parts.operator.notify.is_empty() {
            places.extend(self.last_signed_in(faults)?.filter(|(instance, _)| instance != about));
        }
        for (instance, conversation) in places {
            let content = DeliveryContent::Notice(words.clone());
            let delivery = Delivery { id: new_id(), instance, conversation, turn: None, handle: None, content };
            let kept = delivery.clone();
            self.parts.store.write(move |tx| tx.outbox_enqueue(&kept, now())).await?;
            self.enqueued(vec![delivery]);
        }
        Ok(())
    }

    /// The channel of a conversation that somebody has begun.
    fn place(&self, conversation: &str) -> Result<Option<String>, StoreError> {
        let snapshot = self.parts.registry.snapshot();
        let instances: Vec<String> = snapshot.of(RoleKind::Channel).map(|channel| channel.name.clone()).collect();
        self.parts.store.read(|tx| {
            for instance in &instances {
                if tx.session_current(instance, conversation)?.is_some() {
                    return Ok(Some(instance.clone()));
                }
            }
            Ok(None)
        })
    }

    /// Where somebody who signed in wrote last, of the channels that work.
    fn last_signed_in(&self, faults: &BTreeMap<String, Fault>) -> Result<Option<(String, String)>, StoreError> {
        let recent = self.parts.store.read(|tx| tx.sessions(None, None, RECENT))?;
        let good = |instance: &str| {
            let opened = self.opened(instance);
            // The console was told already.
            !faults.contains_key(instance) && opened.preferences.signed_in && !opened.console
        };
        Ok(recent
            .into_iter()
            .find(|session| good(&session.instance))
            .map(|session| (session.instance, session.conversation)))
    }
}

fn valid_code(notice: &Notice) -> Option<&str> {
    match notice {
        Notice::Qr((code, until)) if *until > now() => Some(code),
        _ => None,
    }
}

fn in_words(notice: &Notice) -> Option<String> {
    match notice {
        Notice::Text(text) => Some(text.clone()),
        Notice::Qr(_) if valid_code(notice).is_some() => Some("a QR code waits to be scanned".into()),
        Notice::Qr(_) => Some("a QR code was not scanned in time".into()),
        Notice::Clear => None,
        Notice::Other(other) => Some(other.kind.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn faults(why: &str, waits: bool) -> BTreeMap<String, Fault> {
        BTreeMap::from([("one".to_string(), Fault { why: why.into(), waits })])
    }

    fn words(news: &[(String, String)]) -> Vec<&str> {
        news.iter().filter_map(|(_, words)| words.lines().next()).collect()
    }

    #[test]
    fn what_comes_back_by_itself_in_time_is_not_told() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        assert_eq!(watch.look(&faults("502", false), AFTER, start), []);
        assert_eq!(watch.look(&BTreeMap::new(), AFTER, start + Duration::from_secs(40)), []);
        assert_eq!(watch.look(&BTreeMap::new(), AFTER, start + Duration::from_secs(61)), []);
        assert!(watch.troubles.is_empty());
    }

    #[test]
    fn what_stays_down_is_told_once_and_its_end_too() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watch.look(&faults("502", false), AFTER, at(0)), []);
        let news = watch.look(&faults("503", false), AFTER, at(60));
        assert_eq!(words(&news), ["⚠️ The channel one does not work: 503"]);
        // It comes and goes: still the same trouble.
        assert_eq!(watch.look(&BTreeMap::new(), AFTER, at(65)), []);
        assert_eq!(watch.look(&faults("502", false), AFTER, at(70)), []);
        assert_eq!(watch.look(&BTreeMap::new(), AFTER, at(75)), []);
        let news = watch.look(&BTreeMap::new(), AFTER, at(85));
        assert_eq!(words(&news), ["✅ The channel one works again."]);
    }

    #[test]
    fn who_is_set_aside_is_told_once_until_it_has_been_well() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let aside = |times: u32, after: u64| {
            let since = start + Duration::from_secs(after);
            Aside { since, until: since + Duration::from_secs(30), times, why: "it trapped".into() }
        };
        let mut told = |aside: &Aside| watch.set_aside(RoleKind::Tools, "shell", "tool-shell", aside).is_some();
        assert_eq!(
            [(1, 0), (1, 0), (2, 40), (3, 200), (1, 9_000)].map(|(n, at)| told(&aside(n, at))),
            [true, false, false, false, true]
        );
    }

    #[test]
    fn what_waits_for_a_person_is_told_at_once_and_again_for_another_reason() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let news = watch.look(&faults("no token", true), AFTER, start);
        assert_eq!(words(&news), ["⚠️ The channel one does not work: no token"]);
        assert_eq!(watch.look(&faults("no token", true), AFTER, start), []);
        let news = watch.look(&faults("wrong token", true), AFTER, start);
        assert_eq!(words(&news), ["⚠️ The channel one does not work: wrong token"]);
    }
}
