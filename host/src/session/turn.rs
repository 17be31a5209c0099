//! From a message in the inbox to the end of its turn.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::approver::{TurnApprover, expired};
use super::discreet::Discreet;
use super::journal::{Said, TurnJournal};
use super::{Cache, Desk, Key, Running, Tap, Tapped, command, lock};
use crate::agent::context::{Past, System, system};
use crate::agent::event::{Ending, Failure};
use crate::agent::{Turn, run_turn};
use crate::live::Live;
use crate::message::{Approval, Attachment, Body, Inbound, Message, Part, Role, new_id, now};
use crate::store::{InboxEntry, Session};

/// A file is asked for so often.
const FETCHES: u32 = 3;
/// Messages read at once when an actor starts.
const PAGE: usize = 1_000;
const TITLE_CHARS: usize = 60;

/// Answers one message. An error means that nothing was decided and the message is still in the inbox.
pub(super) async fn answer(
    desk: &Arc<Desk>,
    key: &Key,
    entry: InboxEntry,
    running: &Arc<Mutex<Option<Running>>>,
    tap: Option<&Tap>,
    cache: &mut Option<Cache>,
) -> Result<()> {
    if entry.turn.is_none()
        && let Some(command) = command::parse(&entry.inbound.text)
    {
        *cache = None;
        return command::obey(desk, key, &entry, command, tap).await;
    }
    let Some(session) = session_of(desk, key, &entry).await? else {
        // Deleted while its turn ran: there is nothing to go on with, and nobody to tell.
        let inbox = entry.key.clone();
        desk.store.write(move |tx| tx.inbox_finish(&inbox)).await?;
        if let Some(tap) = tap {
            tap(Tapped::Notice("The session was deleted while it was being answered.".into()));
        }
        return Ok(());
    };
    let mut past = match cache.take().filter(|cache| cache.session == session.id && entry.turn.is_none()) {
        Some(cache) => cache.past,
        None => load(desk, &session)?,
    };
    let resumed = entry.turn.clone();
    let turn = resumed.as_ref().map_or_else(new_id, |turn| turn.id.clone());
    let cancel = CancellationToken::new();
    let live = Live::new(turn.clone(), entry.inbound.handle.clone());
    *lock(running) = Some(Running { cancel: cancel.clone(), live: Arc::clone(&live), session: session.id.clone() });
    desk.outlet.live(key, Some(Arc::clone(&live)));
    let mut said = Said { running: resumed.is_some(), ..Said::default() };
    if resumed.is_some() {
        for (_, message) in past.messages.iter().filter(|(_, message)| message.turn.as_ref() == Some(&turn)) {
            said.note(message);
        }
    } else {
        let message = person(desk, &entry.inbound, &turn).await;
        past.messages.push((session.last.saturating_add(1), message.clone()));
        said.user = Some(message);
        said.title = session.title.is_empty().then(|| title(&desk.known.clean(&entry.inbound.text)));
    }
    let asked = asked(desk, key, &turn)?;
    let unstarted = asked.iter().map(|approval| approval.call.clone()).collect();
    let journal = Arc::new(TurnJournal {
        desk: Arc::clone(desk),
        key: key.clone(),
        session: session.id.clone(),
        turn: turn.clone(),
        inbox: entry.key.clone(),
        handle: entry.inbound.handle.clone(),
        tap: tap.cloned(),
        said: Mutex::new(said),
    });
    let approver = Arc::new(TurnApprover {
        approved: Mutex::default(),
        desk: Arc::clone(desk),
        key: key.clone(),
        session: session.id.clone(),
        turn: turn.clone(),
        owner: entry.inbound.sender.clone(),
        handle: entry.inbound.handle.clone(),
        allowed: watch::Sender::new(
            session.allowed.iter().map(|tool| (tool.clone(), entry.inbound.sender.clone())).collect(),
        ),
        asked,
        tap: tap.cloned(),
    });
    let shown = {
        let (live, tap) = (Arc::clone(&live), tap.cloned());
        Arc::new(move |event| {
            if let Some(tap) = &tap {
                tap(Tapped::Event(Clone::clone(&event)));
            }
            live.take(event);
        })
    };
    let discreet = Arc::new(Discreet::new(Arc::clone(&desk.known), shown));
    let events = {
        let discreet = Arc::clone(&discreet);
        Arc::new(move |event| discreet.take(event))
    };
    let settings = &desk.settings;
    let (time, skills) = (clock(), desk.lore.text());
    let mut end = run_turn(Turn {
        id: turn.clone(),
        session: session.id.clone(),
        models: desk.catalogue.line_up(session.model.as_deref()).await,
        system: system(System {
            base: &settings.base_prompt,
            workspace: &settings.workspace,
            skills: &skills,
            now: &time,
        }),
        past: past.clone(),
        unstarted,
        untrusted: false,
        toolbox: Arc::clone(&desk.toolbox),
        journal: Arc::clone(&journal) as _,
        approver,
        schemas: Arc::clone(&desk.schemas),
        events,
        limits: settings.limits.clone(),
        cancel,
    })
    .await;
    discreet.finish();
    end.text = desk.known.cleaned(end.text);
    if !lock(&journal.said).closed {
        match &end.ending {
            // Nothing may be said that is not stored, so the message waits for a store that works.
            Ending::Failed(Failure::Journal(why)) => anyhow::bail!("{why}"),
            ending => journal.fail(ending, &end.model).await?,
        }
    }
    close_questions(desk, key, &turn, tap.is_some()).await;
    // What the turn added is read back from the store next time only if it was more than a word and an answer.
    *cache = journal.cache(past);
    if let Some(tap) = tap {
        tap(Tapped::End(end));
    }
    desk.outlet.changed(key);
    Ok(())
}

/// The session that the message belongs to: the turn's own, if it still is, or the conversation's current one.
async fn session_of(desk: &Desk, key: &Key, entry: &InboxEntry) -> Result<Option<Session>> {
    if let Some(turn) = &entry.turn {
        return Ok(desk.store.read(|tx| tx.session(&turn.session))?);
    }
    if let Some(session) = desk.store.read(|tx| tx.session_current(&key.instance, &key.conversation))? {
        return Ok(Some(session));
    }
    let (key, sender) = (key.clone(), entry.inbound.sender.clone());
    let ensured = desk.store.write(move |tx| tx.session_ensure(&key.instance, &key.conversation, &sender, now()));
    Ok(Some(ensured.await?))
}

/// A session's messages since its last compaction.
fn load(desk: &Desk, session: &Session) -> Result<Past> {
    let mut past = Past {
        summary: session.compaction.as_ref().map(|compaction| compaction.summary.clone()),
        messages: Vec::new(),
    };
    let mut after = session.compaction.as_ref().map_or(0, |compaction| compaction.upto);
    loop {
        let page = desk.store.read(|tx| tx.messages(&session.id, after, PAGE))?;
        let full = page.len() == PAGE;
        past.messages.extend(page.into_iter().map(|stored| (stored.cursor, stored.message)));
        match past.messages.last() {
            Some((cursor, _)) if full => after = *cursor,
            _ => return Ok(past),
        }
    }
}

/// The person's message, with its files.
async fn person(desk: &Desk, inbound: &Inbound, turn: &str) -> Message {
    let mut parts: Vec<Part> = Vec::new();
    if !inbound.text.is_empty() || inbound.attachments.is_empty() {
        parts.push(Body::Text(inbound.text.clone()).into());
    }
    let fetched = inbound.attachments.iter().map(|attachment| async {
        match attachment {
            Attachment::Media(media) => Body::Media(media.clone()),
            Attachment::Later(reference) => fetch(desk, &inbound.instance, reference).await,
        }
    });
    parts.extend(futures_util::future::join_all(fetched).await.into_iter().map(Part::from));
    Message { role: Role::User, parts, at: now(), turn: Some(turn.to_string()), model: None, usage: None }
}

async fn fetch(desk: &Desk, instance: &str, reference: &str) -> Body {
    let mut why = String::new();
    for _ in 0..FETCHES {
        match desk.outlet.fetch(instance, reference).await {
            Ok(media) => return Body::Media(media),
            Err(error) => why = error,
        }
    }
    tracing::warn!(instance, "a file of a message cannot be had: {why}");
    Body::Text("[There was a file with this message, but it could not be fetched.]".into())
}

/// What an earlier run of this turn asked a person and is still open: those calls surely did not begin.
fn asked(desk: &Desk, key: &Key, turn: &str) -> Result<Vec<Approval>> {
    let mut open = desk.store.read(|tx| tx.approvals_open(&key.instance, &key.conversation))?;
    open.retain(|approval| approval.turn == turn);
    Ok(open)
}

/// Questions of a turn that was stopped are taken away.
async fn close_questions(desk: &Desk, key: &Key, turn: &str, by_hand: bool) {
    let open = asked(desk, key, turn).unwrap_or_default();
    if !open.is_empty() {
        let deliveries = expired(desk, open, !by_hand).await;
        desk.outlet.enqueued(deliveries);
    }
}

/// The first words, until the person gives another.
fn title(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(TITLE_CHARS) {
        Some((end, _)) => format!("{}…", words.split_at(end).0.trim_end()),
        None => words,
    }
}

/// Date, time and zone, by the minute, so that requests of one minute share their beginning.
fn clock() -> String {
    let time = jiff::Zoned::now();
    time.strftime("%A, %-d %B %Y, %H:%M (%:z %Q)").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_first_words_on_one_line() {
        assert_eq!(title("  what is\neating my disk? "), "what is eating my disk?");
        assert_eq!(title(&"wörter ".repeat(20)).chars().count(), 61);
    }
}
