//! One worker for each conversation: what is kept is shown in order and tried until it is done; drafts, activity and
//! typing signs are shown while they are new, at the pace that the channel asked for, and give way.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Gateway, discreet, lock};
use crate::capability::gateway::RECEIPT_MAX;
use crate::failpoint::failpoint;
use crate::live::{ActivityState, Live};
use crate::message::{Decision, Delivery, DeliveryContent, new_id, now};
use crate::plugin::channel::{ChannelInstance, Failure};
use crate::plugin::convert::{Shown, delivery_out, shown};
use crate::runtime::CallError;
use crate::session::Key;
use crate::store::StoreError;
use crate::wit::openpista::gateway::gateway::Settlement;
use crate::wit::role::channel as wit;

/// A worker without work ends after this.
const IDLE: Duration = Duration::from_secs(60);
/// A delivery that does not come through is tried again for so long.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A channel that traps is tried so often.
const TRAPS: u32 = 5;
/// In more parts than this nothing is shown: the channel does not come to an end.
const PARTS: u32 = 1_000;
/// What a channel said is pending is tried again after this.
const PENDING: Duration = Duration::from_secs(60);
/// What a channel settled as failed is tried again after this at the earliest.
const SETTLED_BADLY: Duration = Duration::from_secs(5);
/// A channel that is gone is looked for again.
const GONE: Duration = Duration::from_secs(60);
/// Who gets an answer within this needs no sign that one is being written.
const SIGN_AFTER: Duration = Duration::from_millis(150);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Beyond so many the bodies of what waits stay in the store.
const BODIES: usize = 8;

/// What is to be done with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Shown; the receipt.
    Done(Option<String>),
    /// Handed over; the channel will settle it.
    Pending,
    /// A part of it is shown, with this receipt; the rest after so long.
    Part(String, Duration),
    /// Not before this time.
    Later(Duration, String),
    /// Not before the channel is called again: it is set aside, for so long.
    SetAside(Duration, String),
    /// It may work another time.
    Retry(String),
    /// The guest broke.
    Broke(String),
    /// Never.
    GiveUp(String),
    /// The conversation is closed to us.
    Closed(String),
}

/// What waits to be shown, and the turn that runs.
#[derive(Clone, Default)]
pub(super) struct Worker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<VecDeque<Item>>,
    live: Mutex<Option<Arc<Live>>>,
    wake: Notify,
    /// The head of the queue failed and is tried again.
    trying: AtomicBool,
    /// The operator does not want it tried any more.
    skip: AtomicBool,
}

struct Item {
    id: String,
    body: Option<Delivery>,
}

impl Worker {
    /// Shows it when its time has come.
    pub(super) fn push(&self, delivery: Delivery) {
        let mut queue = lock(&self.0.queue);
        if queue.iter().any(|item| item.id == delivery.id) {
            return;
        }
        let id = delivery.id.clone();
        let body = (queue.len() < BODIES).then_some(delivery);
        queue.push_back(Item { id, body });
        drop(queue);
        self.0.wake.notify_one();
    }

    /// All that the store has, in its order. What was given meanwhile and is not among it is newer.
    fn begin_with(&self, stored: Vec<Item>) {
        let known: HashSet<String> = stored.iter().map(|item| item.id.clone()).collect();
        let mut queue = lock(&self.0.queue);
        let newer: Vec<Item> = queue.drain(..).filter(|item| !known.contains(&item.id)).collect();
        queue.extend(stored.into_iter().chain(newer));
    }

    /// A turn runs, or none.
    pub(super) fn live(&self, live: Option<Arc<Live>>) {
        *lock(&self.0.live) = live;
        self.0.wake.notify_one();
    }

    fn current(&self) -> Option<Arc<Live>> {
        lock(&self.0.live).clone()
    }
}

/// How far a turn is shown.
#[derive(Default)]
struct Progress {
    turn: String,
    /// When the turn was first looked at.
    began: Option<Instant>,
    version: u64,
    since: usize,
    draft: Option<Instant>,
    sign: Option<Instant>,
    /// The channel asked for a pause.
    not_before: Option<Instant>,
    /// The last delivery, of which the end may not be stored yet.
    last: Option<String>,
}

impl Gateway {
    /// Gives something to the conversation's worker. Under one lock with `retire`, so that no worker ends with it.
    pub(super) fn with_worker(&self, key: &Key, give: impl FnOnce(&Worker)) {
        let mut workers = lock(&self.workers);
        if let Some(worker) = workers.get(key) {
            give(worker);
            return;
        }
        let worker = Worker::default();
        give(&worker);
        workers.insert(key.clone(), worker.clone());
        if let Some(me) = self.me.upgrade() {
            let key = key.clone();
            tokio::spawn(async move { me.work(key, worker).await });
        }
    }

    pub(super) fn wake_worker(&self, key: &Key) {
        if let Some(worker) = lock(&self.workers).get(key) {
            worker.0.wake.notify_one();
        }
    }

    /// Gives up what is tried again and again in the conversations of a channel; how many deliveries that are.
    pub fn skip(&self, instance: &str) -> usize {
        let workers = lock(&self.workers);
        let own = workers.iter().filter(|(key, _)| key.instance == instance);
        own.filter(|(_, worker)| worker.0.trying.load(Ordering::Acquire))
            .map(|(_, worker)| {
                worker.0.skip.store(true, Ordering::Release);
                worker.0.wake.notify_one();
            })
            .count()
    }

    /// A channel is there again.
    pub(super) fn wake_workers(&self, instance: &str) {
        for (_, worker) in lock(&self.workers).iter().filter(|(key, _)| key.instance == instance) {
            worker.0.wake.notify_one();
        }
    }

    /// After a start, before any worker begins: what an earlier run could not show comes before what is new.
    pub(super) fn deliver_what_waits(&self, key: &Key) -> Result<(), StoreError> {
        let (mut after, mut waiting) = (0, Vec::new());
        loop {
            // A page at a time: of what waits long only the ids are kept in memory.
            let page = self.parts.store.read(|tx| tx.outbox_of(&key.instance, &key.conversation, after, BODIES))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (_, queued) in page {
                let id = queued.delivery.id.clone();
                waiting.push(Item { id, body: (waiting.len() < BODIES).then_some(queued.delivery) });
            }
        }
        self.with_worker(key, |worker| worker.begin_with(waiting));
        Ok(())
    }

    async fn work(self: Arc<Self>, key: Key, worker: Worker) {
        // A message may be taken and answered before what waits in the store is known: it would overtake it, and what was
        // shown meanwhile would be found in the store and shown again.
        tokio::select! {
            () = self.stop.cancelled() => return,
            () = self.resumed.cancelled() => (),
        }
        let mut progress = Progress::default();
        let mut receipts: HashMap<String, String> = HashMap::new();
        let (mut attempts, mut parts) = (0_u32, 0_u32);
        loop {
            let head = lock(&worker.0.queue).front().map(|item| (item.id.clone(), item.body.clone()));
            if let Some((id, body)) = head {
                let Some(delivery) = body.or_else(|| self.stored(&key, &id)) else {
                    lock(&worker.0.queue).pop_front();
                    continue;
                };
                self.last_is_noted(&key, progress.last.take()).await;
                let mut verdict = if worker.0.skip.swap(false, Ordering::AcqRel) {
                    Verdict::GiveUp("the operator gave it up".into())
                } else {
                    self.show(&delivery, &mut receipts).await
                };
                let well = matches!(verdict, Verdict::Part(..));
                let waits = matches!(verdict, Verdict::SetAside(..));
                if well {
                    // It goes well: what fails later is tried again as soon as if nothing had failed before.
                    (attempts, parts) = (0, parts.saturating_add(1));
                    if parts > PARTS {
                        verdict = Verdict::GiveUp(format!("it came in more than {PARTS} parts"));
                    }
                }
                match self.settle(&worker, &delivery, verdict, attempts).await {
                    Some(pause) => {
                        attempts = attempts.saturating_add(u32::from(!waits));
                        worker.0.trying.store(!well, Ordering::Release);
                        tokio::select! {
                            () = self.stop.cancelled() => return,
                            () = tokio::time::sleep(pause) => (),
                            () = self.channel_returns(&worker, &key) => (),
                            () = self.called_again(&key), if waits => (),
                        }
                    }
                    None => {
                        (attempts, parts) = (0, 0);
                        worker.0.trying.store(false, Ordering::Release);
                        // It was meant for this one: what comes next has not failed yet.
                        worker.0.skip.store(false, Ordering::Release);
                        // A word about it that nobody waited for.
                        lock(&self.settled).remove(&id);
                        progress.last = Some(id);
                        lock(&worker.0.queue).pop_front();
                    }
                }
                continue;
            }
            let live = worker.current();
            let next = match &live {
                Some(live) => self.show_live(&key, live, &mut progress, &mut receipts).await,
                None => None,
            };
            let pause = next.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            let changed = async {
                match &live {
                    Some(live) => live.changed.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = worker.0.wake.notified() => (),
                () = changed => (),
                () = tokio::time::sleep(pause) => if live.is_none() && next.is_none() && self.retire(&key, &worker) {
                    return;
                },
            }
        }
    }

    /// That something was shown is stored with whatever comes next, but before more of the conversation is shown: a
    /// kill doubles one delivery of it at most.
    async fn last_is_noted(&self, key: &Key, last: Option<String>) {
        let Some(last) = last else { return };
        let noted = self.parts.store.read(|tx| Ok(tx.outbox_entry(&key.instance, &last)?.is_none()));
        if !matches!(noted, Ok(true))
            && let Err(error) = self.parts.store.flush().await
        {
            tracing::error!("the end of a delivery is not noted: {error}");
        }
    }

    /// While a delivery waits for its next attempt: the channel is there now and was not.
    async fn channel_returns(&self, worker: &Worker, key: &Key) {
        let there = self.channel(&key.instance).is_some();
        loop {
            worker.0.wake.notified().await;
            let given_up = worker.0.skip.load(Ordering::Acquire);
            if given_up || (!there && self.channel(&key.instance).is_some()) {
                return;
            }
        }
    }

    /// The channel is not set aside any more.
    async fn called_again(&self, key: &Key) {
        if let Some(channel) = self.channel(&key.instance) {
            channel.instance.record.returns().await;
        }
    }

    /// Ends a worker, unless there is something to do since.
    fn retire(&self, key: &Key, worker: &Worker) -> bool {
        let mut workers = lock(&self.workers);
        let busy = !lock(&worker.0.queue).is_empty() || worker.current().is_some();
        if !busy {
            workers.remove(key);
        }
        !busy
    }

    fn stored(&self, key: &Key, id: &str) -> Option<Delivery> {
        match self.parts.store.read(|tx| tx.outbox_entry(&key.instance, id)) {
            Ok(queued) => queued.map(|queued| queued.delivery),
            Err(error) => {
                tracing::error!("a delivery cannot be read: {error}");
                None
            }
        }
    }

    /// Shows what is kept.
    async fn show(&self, delivery: &Delivery, receipts: &mut HashMap<String, String>) -> Verdict {
        let Some(channel) = self.channel(&delivery.instance) else {
            return Verdict::Later(GONE, format!("the channel {} is gone", delivery.instance));
        };
        let receipt = self.receipt(delivery, receipts);
        let clean = discreet::content(&self.parts.known, delivery.content.clone());
        let mut content = shown(clean.clone(), receipt.clone());
        if !self.opened(&delivery.instance).asks {
            content = match in_words(&clean) {
                Some(words) => Shown::Deliver(wit::DeliveryContent::Notice(words)),
                // The person's own answer is the end of a question in words.
                None if matches!(content, Shown::Decided(_)) => return Verdict::Done(None),
                None => content,
            };
        }
        failpoint("deliver.before-send");
        let answer = match content {
            Shown::Deliver(content) => channel.deliver(&delivery_out(delivery, receipt, content)).await,
            Shown::Ask(approval) => channel.ask(&approval).await,
            Shown::Decided(verdict) => {
                channel.decided(&verdict).await.map(|((), held)| (wit::Outcome::Done(None), held))
            }
        };
        // What the call held for connections is sent with the verdict.
        let verdict = self.verdict(&channel, delivery, answer, receipts).await;
        failpoint("deliver.after-send");
        verdict
    }

    async fn verdict(
        &self,
        channel: &ChannelInstance,
        delivery: &Delivery,
        answer: crate::plugin::channel::Answer<wit::Outcome, wit::DeliveryError>,
        receipts: &mut HashMap<String, String>,
    ) -> Verdict {
        let outcome = match answer {
            Ok((outcome, held)) => match self.commit(&channel.instance.name, held).await {
                Ok(()) => outcome,
                Err(error) => return Verdict::Retry(format!("it cannot be stored: {error}")),
            },
            Err(Failure::Said(error)) => {
                return match error {
                    wit::DeliveryError::AccessDenied(why) | wit::DeliveryError::Rejected(why) => Verdict::GiveUp(why),
                    wit::DeliveryError::AuthRequired(why) => {
                        self.credential(&channel.instance.name, Some(&why));
                        Verdict::Retry(why)
                    }
                    wit::DeliveryError::RetryAfter(ms) => {
                        Verdict::Later(Duration::from_millis(ms.into()), "the messenger asks to wait".into())
                    }
                    wit::DeliveryError::Unavailable(why) | wit::DeliveryError::Other(why) => Verdict::Retry(why),
                    wit::DeliveryError::Gone(why) => Verdict::Closed(why),
                };
            }
            Err(Failure::Broke(error @ CallError::Aside { left, .. })) => {
                return Verdict::SetAside(left, error.to_string());
            }
            Err(Failure::Broke(error)) => return Verdict::Broke(error.to_string()),
        };
        match outcome {
            wit::Outcome::Done(receipt) => {
                self.credential(&channel.instance.name, None);
                let receipt = fitting(&channel.instance.name, receipt);
                if let (Some(_), Some(receipt)) = (&delivery.turn, &receipt) {
                    receipts.insert(self.receipt_key(delivery), receipt.clone());
                }
                Verdict::Done(receipt)
            }
            wit::Outcome::Pending => Verdict::Pending,
            wit::Outcome::Part((receipt, pause)) => {
                // Without it the next part would begin from the front, again and again.
                let Some(receipt) = fitting(&channel.instance.name, Some(receipt)) else {
                    return Verdict::GiveUp(format!("its receipt has more than {RECEIPT_MAX} bytes"));
                };
                receipts.insert(self.receipt_key(delivery), receipt.clone());
                Verdict::Part(receipt, Duration::from_millis(pause.into()))
            }
        }
    }

    /// A question has its own receipt, for its end; all else of a turn shares one; a notice outside a turn has one for
    /// its parts.
    fn receipt_key(&self, delivery: &Delivery) -> String {
        match &delivery.content {
            DeliveryContent::Ask(approval) | DeliveryContent::Decided(approval) => approval.id.clone(),
            _ => delivery.turn.clone().unwrap_or_else(|| delivery.id.clone()),
        }
    }

    fn receipt(&self, delivery: &Delivery, receipts: &HashMap<String, String>) -> Option<String> {
        let key = self.receipt_key(delivery);
        if let Some(receipt) = receipts.get(&key) {
            return Some(receipt.clone());
        }
        let stored = match &delivery.content {
            DeliveryContent::Ask(_) => return None,
            DeliveryContent::Decided(approval) => {
                self.parts.store.read(|tx| Ok(tx.approval(&approval.id)?.and_then(|approval| approval.receipt)))
            }
            _ => self.parts.store.read(|tx| tx.receipt(&delivery.instance, &key)),
        };
        stored.unwrap_or_else(|error| {
            tracing::error!("a receipt cannot be read: {error}");
            None
        })
    }

    /// Notes how it went. A pause: it is tried again after that.
    async fn settle(&self, worker: &Worker, delivery: &Delivery, verdict: Verdict, attempts: u32) -> Option<Duration> {
        let (instance, id) = (delivery.instance.clone(), delivery.id.clone());
        let too_long = |attempts: u32| BACKOFF_MAX.saturating_mul(attempts) > DAY;
        let (pause, why) = match verdict {
            Verdict::Done(receipt) => {
                let question = match &delivery.content {
                    DeliveryContent::Ask(approval) => Some(approval.id.clone()),
                    _ => None,
                };
                // A kill before this is stored doubles the delivery, which the channel sees by its id.
                let noted = self.parts.store.write_later(move |tx| {
                    if let (Some(question), Some(receipt)) = (&question, &receipt) {
                        tx.approval_receipt(question, receipt)?;
                        tx.outbox_delivered(&instance, &id, None, now())?;
                    } else {
                        tx.outbox_delivered(&instance, &id, receipt.as_deref(), now())?;
                    }
                    Ok(())
                });
                if let Err(error) = noted {
                    tracing::error!("the end of a delivery is not noted: {error}");
                }
                return None;
            }
            Verdict::Pending if too_long(attempts) => {
                self.give_up(delivery, "the channel never settled it");
                return None;
            }
            Verdict::Pending => return self.wait_until_settled(worker, delivery, attempts).await,
            Verdict::Part(receipt, pause) => {
                self.note_part(delivery, receipt).await;
                return Some(pause);
            }
            Verdict::GiveUp(why) => {
                self.give_up(delivery, &why);
                return None;
            }
            Verdict::Closed(why) => {
                tracing::warn!(instance, conversation = delivery.conversation, "closed to us: {why}");
                self.give_up(delivery, &why);
                return None;
            }
            Verdict::Broke(why) if attempts + 1 >= TRAPS => {
                self.give_up(delivery, &why);
                return None;
            }
            Verdict::Retry(why) if too_long(attempts) => {
                self.give_up(delivery, &why);
                return None;
            }
            Verdict::Later(pause, why) | Verdict::SetAside(pause, why) => (pause, why),
            Verdict::Retry(why) | Verdict::Broke(why) => (backoff(attempts), why),
        };
        tracing::warn!(instance, conversation = delivery.conversation, "not delivered, again in {pause:?}: {why}");
        let next = now().saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        let noted = self.parts.store.write_later(move |tx| tx.outbox_failed(&instance, &id, &why, next).map(|_| ()));
        if let Err(error) = noted {
            tracing::error!("a failed delivery is not noted: {error}");
        }
        Some(pause)
    }

    /// Stored before the next part is shown: a kill doubles one part at most.
    async fn note_part(&self, delivery: &Delivery, receipt: String) {
        let (instance, key) = (delivery.instance.clone(), self.receipt_key(delivery));
        let question = matches!(delivery.content, DeliveryContent::Ask(_));
        let change = move |tx: &mut crate::store::Writing<'_>| {
            if question {
                tx.approval_receipt(&key, &receipt).map(|_| ())
            } else {
                tx.receipt_set(&instance, &key, &receipt, now())
            }
        };
        if let Err(error) = self.parts.store.write(change).await {
            tracing::error!("a part of a delivery is not noted: {error}");
        }
    }

    fn give_up(&self, delivery: &Delivery, why: &str) {
        let (instance, id, why) = (delivery.instance.clone(), delivery.id.clone(), why.to_string());
        tracing::error!(instance, conversation = delivery.conversation, "a delivery is given up: {why}");
        let noted = self.parts.store.write_later(move |tx| tx.outbox_give_up(&instance, &id, &why, now()).map(|_| ()));
        if let Err(error) = noted {
            tracing::error!("a delivery that was given up is not noted: {error}");
        }
    }

    /// A channel that handed a delivery over tells its end with `gateway.settle`.
    async fn wait_until_settled(&self, worker: &Worker, delivery: &Delivery, attempts: u32) -> Option<Duration> {
        let deadline = Instant::now() + PENDING;
        loop {
            let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner).remove(&delivery.id);
            match settled {
                Some(Settlement::Shown(receipt)) => {
                    let (instance, id) = (delivery.instance.clone(), delivery.id.clone());
                    let noted = self.parts.store.write_later(move |tx| {
                        tx.outbox_delivered(&instance, &id, receipt.as_deref(), now()).map(|_| ())
                    });
                    if let Err(error) = noted {
                        tracing::error!("the end of a delivery is not noted: {error}");
                    }
                    return None;
                }
                Some(Settlement::Unavailable(why)) => {
                    tracing::warn!(instance = delivery.instance, "a delivery failed: {why}");
                    return Some(backoff(attempts).max(SETTLED_BADLY));
                }
                Some(Settlement::Rejected(why)) => {
                    self.give_up(delivery, &why);
                    return None;
                }
                None => (),
            }
            tokio::select! {
                () = self.stop.cancelled() => return Some(PENDING),
                () = tokio::time::sleep_until(deadline) => return Some(Duration::ZERO),
                () = worker.0.wake.notified() => (),
            }
        }
    }

    /// Shows what is new of a turn that runs; when to look again.
    async fn show_live(
        &self,
        key: &Key,
        live: &Live,
        progress: &mut Progress,
        receipts: &mut HashMap<String, String>,
    ) -> Option<Instant> {
        let opened = self.opened(&key.instance);
        let likes = opened.preferences;
        if progress.turn != live.turn {
            *progress = Progress { turn: live.turn.clone(), last: progress.last.take(), ..Progress::default() };
            receipts.clear();
        }
        let start = Instant::now();
        let began = *progress.began.get_or_insert(start);
        if let Some(pause) = progress.not_before.filter(|pause| *pause > start) {
            return Some(pause);
        }
        let mut next: Option<Instant> = None;
        let mut sooner = |at: Instant| next = Some(next.map_or(at, |next| next.min(at)));
        if let Some(apart) = likes.drafts {
            let due = progress.draft.map_or(start, |last| last + apart);
            let unseen = live.version() != progress.version;
            if unseen && (due <= start || (likes.activity && live.has_activity())) {
                self.draft(key, live, progress, receipts).await;
                sooner(Instant::now() + apart);
            } else if unseen {
                sooner(due);
            }
        }
        while let Some(activity) = live.next_activity() {
            if !likes.activity {
                continue;
            }
            let state = match activity.state {
                ActivityState::Started(arguments) => wit::ActivityState::Started(arguments),
                ActivityState::Progress(line) => wit::ActivityState::Progress(line),
                ActivityState::Done(line) => wit::ActivityState::Done(line),
                ActivityState::Failed(line) => wit::ActivityState::Failed(line),
            };
            let content =
                wit::DeliveryContent::Activity(wit::Activity { call: activity.call, tool: activity.tool, state });
            self.glimpse(key, live, content, progress, receipts).await;
        }
        if let Some(again) = likes.working {
            let due = progress.sign.map_or(began + SIGN_AFTER, |last| last + again);
            if due <= Instant::now() {
                progress.sign = Some(Instant::now());
                self.glimpse(key, live, wit::DeliveryContent::Working, progress, receipts).await;
                sooner(Instant::now() + again);
            } else {
                sooner(due);
            }
        }
        next
    }

    async fn draft(&self, key: &Key, live: &Live, progress: &mut Progress, receipts: &mut HashMap<String, String>) {
        let likes = self.opened(&key.instance).preferences;
        let written = live.written();
        progress.version = written.version;
        progress.draft = Some(Instant::now());
        progress.sign = Some(Instant::now());
        // What was taken back begins anew.
        let since = if written.text.is_char_boundary(progress.since) { progress.since } else { 0 };
        let text = if likes.increments {
            written.text.get(since..).unwrap_or_default().to_string()
        } else {
            written.text.clone()
        };
        let reasoning = if likes.reasoning { written.reasoning } else { String::new() };
        let draft = wit::Draft { text, since: u32::try_from(since).unwrap_or(u32::MAX), reasoning };
        if self.glimpse(key, live, wit::DeliveryContent::Draft(draft), progress, receipts).await {
            progress.since = written.text.len();
        }
    }

    /// Shows something that is not kept; whether it was taken.
    async fn glimpse(
        &self,
        key: &Key,
        live: &Live,
        content: wit::DeliveryContent,
        progress: &mut Progress,
        receipts: &mut HashMap<String, String>,
    ) -> bool {
        let Some(channel) = self.channel(&key.instance) else { return false };
        // A draft is a message, too. A typing sign leaves nothing behind.
        if !matches!(content, wit::DeliveryContent::Working) {
            self.last_is_noted(key, progress.last.take()).await;
        }
        let delivery = wit::Delivery {
            id: new_id(),
            conversation: key.conversation.clone(),
            turn: Some(live.turn.clone()),
            handle: live.handle.clone(),
            receipt: receipts.get(&live.turn).cloned(),
            content,
        };
        match channel.deliver(&delivery).await {
            Ok((outcome, held)) => {
                if let Err(error) = self.commit(&key.instance, held).await {
                    tracing::warn!("what a draft brought is not stored: {error}");
                    return false;
                }
                let receipt = match outcome {
                    wit::Outcome::Done(receipt) => receipt,
                    wit::Outcome::Part((receipt, _)) => Some(receipt),
                    wit::Outcome::Pending => None,
                };
                if let Some(receipt) = fitting(&key.instance, receipt)
                    && receipts.get(&live.turn) != Some(&receipt)
                {
                    receipts.insert(live.turn.clone(), receipt.clone());
                    let (instance, turn) = (key.instance.clone(), live.turn.clone());
                    // A kill before this is stored makes the reply a second message: drafts are not worth a commit.
                    if let Err(error) =
                        self.parts.store.write_later(move |tx| tx.receipt_set(&instance, &turn, &receipt, now()))
                    {
                        tracing::warn!("a receipt is not stored: {error}");
                    }
                }
                true
            }
            Err(Failure::Said(wit::DeliveryError::RetryAfter(ms))) => {
                progress.not_before = Some(Instant::now() + Duration::from_millis(ms.into()));
                false
            }
            Err(Failure::Said(error)) => {
                tracing::debug!("a draft was not taken: {error:?}");
                false
            }
            Err(Failure::Broke(error)) => {
                tracing::warn!("{error}");
                progress.not_before = Some(Instant::now() + BACKOFF_MAX);
                false
            }
        }
    }
}

/// A question for a channel without buttons; and that it is settled, if another one's answer may have done it.
fn in_words(content: &DeliveryContent) -> Option<String> {
    match content {
        DeliveryContent::Ask(approval) => Some(format!(
            "May I run {}?\n{}\nAnswer: yes, session (yes, for the rest of this session), or no.",
            approval.tool, approval.summary
        )),
        DeliveryContent::Decided(approval) if matches!(approval.decision, Some((Decision::AllowSession, _))) => {
            Some(format!("{} may run in this session: {}", approval.tool, approval.summary))
        }
        _ => None,
    }
}

/// A receipt as long as the contract allows; of a longer one the turn keeps what it had.
fn fitting(instance: &str, receipt: Option<String>) -> Option<String> {
    let receipt = receipt?;
    if receipt.len() > RECEIPT_MAX {
        tracing::warn!(instance, "a receipt of {} bytes is not kept: {RECEIPT_MAX} are allowed", receipt.len());
        return None;
    }
    Some(receipt)
}

/// 1, 2, 4 … 60 s.
fn backoff(attempts: u32) -> Duration {
    Duration::from_secs(1_u64 << attempts.min(6)).min(BACKOFF_MAX)
}
