//! Questions and their answers, on a real store; nobody runs a turn.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::agent::Model;
use crate::agent::ports::{Invocation, Progress, ToolError, Toolbox};
use crate::capability::secrets::{Known, SecretValue};
use crate::live::Live;
use crate::message::{Content, Media, ToolHints};
use crate::session::{Catalogue, Lore, Outlet, Power, Settings};
use crate::store::{Options, Session, Store};

struct Nothing;

#[async_trait]
impl Toolbox for Nothing {
    fn definitions(&self) -> Arc<[ToolDefinition]> {
        Arc::new([])
    }

    async fn call(&self, _: Invocation, _: Progress, _: CancellationToken) -> Result<Vec<Content>, ToolError> {
        Err(ToolError::Cancelled)
    }
}

#[async_trait]
impl Catalogue for Nothing {
    async fn line_up(&self, _: Option<&str>) -> Vec<Model> {
        Vec::new()
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn find(&self, _: &str) -> Result<String, String> {
        Err("none".into())
    }
}

impl Power for Nothing {
    fn powerful(&self, _: &str) -> bool {
        true
    }

    fn owner(&self, _: &str) -> Option<(String, String)> {
        None
    }
}

impl Lore for Nothing {
    fn text(&self) -> Arc<str> {
        "".into()
    }
}

/// Keeps what is to be shown.
#[derive(Default)]
struct Shown {
    deliveries: Mutex<Vec<Delivery>>,
    /// Somebody answers there before a question is even shown.
    quick: Mutex<Option<Store>>,
}

#[async_trait]
impl Outlet for Shown {
    fn enqueued(&self, deliveries: Vec<Delivery>) {
        if let (Some(store), Some(first)) = (lock(&self.quick).take(), deliveries.first()) {
            let DeliveryContent::Ask(approval) = first.content.clone() else { panic!("{first:?}") };
            let decide = move || {
                let decided = store.write(move |tx| tx.approval_decide(&approval.id, Decision::Deny, &ann(), now()));
                tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(decided)
            };
            assert!(matches!(std::thread::spawn(decide).join().unwrap(), Ok(Decided::Now(_))));
        }
        lock(&self.deliveries).extend(deliveries);
    }

    fn live(&self, _: &Key, _: Option<Arc<Live>>) {}

    fn changed(&self, _: &Key) {}

    async fn fetch(&self, _: &str, _: &str) -> Result<Media, String> {
        Err("none".into())
    }

    fn quit(&self, _: &Key) -> bool {
        false
    }
}

struct World {
    _folder: tempfile::TempDir,
    shown: Arc<Shown>,
    approver: TurnApprover,
}

fn ann() -> Sender {
    Sender { id: "ann".into(), name: "Ann".into() }
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store.redb"), Options::default()).unwrap();
    let session = Session { id: "s".into(), ..Session::new("web", "c", ann(), 1) };
    store.write(move |tx| tx.session_start(&session)).await.unwrap();
    let known = Arc::new(Known::default());
    known.learn("a test", vec![("key".into(), SecretValue::new("correct-horse").unwrap())]).unwrap();
    let shown = Arc::<Shown>::default();
    let desk = Desk {
        store,
        toolbox: Arc::new(Nothing),
        power: Arc::new(Nothing),
        catalogue: Arc::new(Nothing),
        lore: Arc::new(Nothing),
        schemas: Arc::default(),
        settings: Settings {
            limits: crate::agent::Limits::default(),
            approval_time: Duration::from_secs(3600),
            rules: Arc::default(),
            trust_content: false,
            base_prompt: String::new(),
            workspace: String::new(),
        },
        outlet: Arc::<Shown>::clone(&shown),
        known,
        waiting: Waiting::default(),
    };
    let approver = TurnApprover {
        desk: Arc::new(desk),
        key: Key { instance: "web".into(), conversation: "c".into() },
        session: "s".into(),
        turn: "t".into(),
        owner: ann(),
        handle: None,
        allowed: watch::Sender::default(),
        asked: Vec::new(),
        approved: Mutex::default(),
        tap: None,
    };
    World { _folder: folder, shown, approver }
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "system.run".into(), arguments: arguments.into() }
}

fn tool(open_world: bool) -> ToolDefinition {
    let hints = ToolHints { open_world, ..ToolHints::default() };
    ToolDefinition { name: "system.run".into(), description: String::new(), parameters: "{}".into(), hints }
}

impl World {
    /// What waits for an answer, by call; looked at until there are so many.
    async fn asked(&self, count: usize) -> Vec<Approval> {
        loop {
            let mut open = self.approver.desk.store.read(|tx| tx.approvals_open("web", "c")).unwrap();
            if open.len() == count {
                open.sort_by(|one, other| one.call.cmp(&other.call));
                return open;
            }
            tokio::task::yield_now().await;
        }
    }

    /// As the gateway does it.
    async fn decides(&self, approval: &Approval, decision: Decision) {
        let id = approval.id.clone();
        let decided = self.approver.desk.store.write(move |tx| tx.approval_decide(&id, decision, &ann(), now()));
        assert!(matches!(decided.await, Ok(Decided::Now(_))));
        self.approver.desk.waiting.decided(&approval.id, Some(decision));
    }

    fn waiters(&self) -> usize {
        lock(&self.approver.desk.waiting.0).len()
    }

    /// The ends of questions that were taken away.
    fn ended(&self) -> Vec<String> {
        let shown = lock(&self.shown.deliveries);
        shown.iter().map(|delivery| delivery.id.clone()).filter(|id| id.starts_with("over-")).collect()
    }
}

#[test]
fn the_summary_is_one_bounded_line_with_the_values() {
    assert_eq!(summary(r#"{"command":"ls -la"}"#), "ls -la");
    assert_eq!(summary(r#"{"command":"a\nb","timeout":3}"#), "command: a b, timeout: 3");
    assert_eq!(summary("broken"), "broken");
    assert_eq!(summary(r#"{"path":"\u202egnp.exe\u001b[2K"}"#), " gnp.exe [2K");
    assert_eq!(summary(&format!(r#"{{"command":"{}"}}"#, "ä".repeat(500))).chars().count(), 301);
}

#[test]
fn a_decision_is_bound_to_tool_owner_and_arguments() {
    let ls = call("1", r#"{"command":"ls"}"#);
    let one = hash(&ls, "a");
    assert_ne!(one, hash(&call("1", r#"{"command":"ls "}"#), "a"));
    assert_ne!(one, hash(&ToolCall { name: "system.ru".into(), ..call("1", r#"n{"command":"ls"}"#) }, "a"));
    assert_ne!(one, hash(&ls, "b"));
}

#[tokio::test]
async fn what_is_allowed_for_the_session_settles_the_questions_about_the_same_tool_that_wait_beside_it() {
    let world = world().await;
    let (calm, approver) = (tool(false), &world.approver);
    let (one, two, other) = (call("1", "{}"), call("2", "{}"), ToolCall { name: "files".into(), ..call("3", "{}") });
    let person = async {
        let asked = world.asked(3).await;
        world.decides(&asked[0], Decision::AllowSession).await;
        let left = world.asked(1).await;
        assert_eq!(left[0].tool, "files");
        world.decides(&left[0], Decision::Deny).await;
        asked
    };
    let (first, second, third, asked) = tokio::join!(
        approver.ask(&one, &calm, true),
        approver.ask(&two, &calm, true),
        approver.ask(&other, &calm, true),
        person
    );
    let session = Answer::Said(Decision::AllowSession);
    assert_eq!([first, second, third], [session.clone(), session, Answer::Said(Decision::Deny)]);
    let settled = approver.desk.store.read(|tx| tx.approval(&asked[1].id)).unwrap().unwrap();
    assert_eq!(settled.decision, Some((Decision::AllowSession, ann())));
    assert_eq!(world.ended(), [format!("over-{}", settled.id)]);
    assert_eq!(world.waiters(), 0);
}

#[tokio::test]
async fn a_question_that_words_of_strangers_brought_up_is_answered_by_itself() {
    let world = world().await;
    let (risky, approver) = (tool(true), &world.approver);
    let (one, two) = (call("1", "{}"), call("2", "{}"));
    let person = async {
        let asked = world.asked(2).await;
        world.decides(&asked[0], Decision::AllowSession).await;
        world.decides(&asked[1], Decision::Deny).await;
    };
    let (first, second, ()) = tokio::join!(approver.ask(&one, &risky, true), approver.ask(&two, &risky, true), person);
    assert_eq!((first, second), (Answer::Said(Decision::AllowSession), Answer::Said(Decision::Deny)));
    assert_eq!(world.ended(), <[String; 0]>::default());
}

#[tokio::test]
async fn an_answer_that_comes_before_anybody_waits_is_heard() {
    let world = world().await;
    *lock(&world.shown.quick) = Some(world.approver.desk.store.clone());
    let answer = world.approver.ask(&call("1", "{}"), &tool(false), false).await;
    assert_eq!(answer, Answer::Said(Decision::Deny));
}

#[tokio::test]
async fn a_turn_that_is_stopped_leaves_no_one_waiting() {
    let world = world().await;
    let (one, calm) = (call("1", "{}"), tool(false));
    tokio::select! {
        _ = world.approver.ask(&one, &calm, false) => panic!("nobody answered"),
        _ = async {
            world.asked(1).await;
            while world.waiters() == 0 {
                tokio::task::yield_now().await;
            }
        } => (),
    }
    assert_eq!(world.waiters(), 0);
}

#[tokio::test]
async fn nobody_to_ask_is_not_a_persons_no() {
    let world = world().await;
    let (one, calm) = (call("1", "{}"), tool(false));
    let cli = async {
        let asked = world.asked(1).await;
        while world.waiters() == 0 {
            tokio::task::yield_now().await;
        }
        world.approver.desk.waiting.nobody(&asked[0].id);
    };
    let (answer, ()) = tokio::join!(world.approver.ask(&one, &calm, false), cli);
    let Answer::Nobody(why) = answer else { panic!("{answer:?}") };
    assert!(why.contains("--yes") && why.contains("[policy.tools]"), "{why}");
}

#[tokio::test]
async fn a_question_shows_no_secret_and_still_belongs_to_the_call_as_it_is() {
    let world = world().await;
    let secret = call("1", r#"{"command":"echo correct-horse"}"#);
    let question = world.approver.question(&secret).await.unwrap();
    let cleaned = r#"{"command":"echo [secret key]"}"#;
    assert_eq!((question.summary.as_str(), question.arguments.as_str()), ("echo [secret key]", cleaned));
    assert_eq!(question.hash, hash(&secret, ""));
}
