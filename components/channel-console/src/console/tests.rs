use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;
use crate::contract::exports::openpista::plugin::channel::{Opened, Reply, Source};
use crate::contract::openpista::types::types::{Media, Usage};

/// Plays the host: keeps what the console does.
#[derive(Default)]
struct Stage {
    screen: RefCell<String>,
    /// A prompt was written last, and nobody has typed since.
    prompted: RefCell<bool>,
    submitted: RefCell<Vec<Inbound>>,
    decided: RefCell<Vec<(String, String, Decision)>>,
    waiting: RefCell<Vec<Approval>>,
    state: RefCell<BTreeMap<String, String>>,
    tags: RefCell<Vec<(ConnectionId, String)>>,
}

impl Host for Stage {
    fn submit(&self, message: Inbound) -> Result<(), Error> {
        self.submitted.borrow_mut().push(message);
        Ok(())
    }
    fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error> {
        let mut waiting = self.waiting.borrow_mut();
        let before = waiting.len();
        waiting.retain(|open| open.id != approval);
        if waiting.len() == before {
            return Err(Error::NotFound("no such approval".into()));
        }
        self.decided.borrow_mut().push((approval.into(), by.id.clone(), decision));
        Ok(())
    }
    fn waiting(&self) -> Result<Vec<Approval>, Error> {
        Ok(self.waiting.borrow().clone())
    }
    fn tag(&self, connection: ConnectionId, tag: &str) -> Result<(), Error> {
        self.tags.borrow_mut().push((connection, tag.into()));
        Ok(())
    }
    /// As the host does it where no line is edited.
    fn print(&self, text: &str) -> Result<(), Error> {
        let mut screen = self.screen.borrow_mut();
        let mut prompted = self.prompted.borrow_mut();
        for (at, part) in text.split("\x1b]133;").enumerate() {
            let (mark, words) = if at == 0 { ("", part) } else { part.split_once("\x1b\\").unwrap() };
            if !(mark.is_empty() && words.is_empty()) && mark != "B" && std::mem::take(&mut *prompted) {
                screen.push('\n');
            }
            if matches!(mark, "L" | "A") && !screen.is_empty() && !screen.ends_with('\n') {
                screen.push('\n');
            }
            screen.push_str(words);
            *prompted |= mark == "B";
        }
        Ok(())
    }
    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.state.borrow().get(key).cloned())
    }
    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        self.state.borrow_mut().insert(key.into(), value.into());
        Ok(())
    }
    fn now(&self) -> Timestamp {
        1_700_000_000_000
    }
}

impl Stage {
    fn console(&self) -> Console<'_, Self> {
        Console::new(self, Settings { color: Color::Auto, name: "Ada".into() })
    }
    fn open(&self) {
        self.open_on(&[]);
        let mut screen = self.screen.borrow_mut();
        let welcome = "Type a message; /help for commands, /stop to stop, /quit to end.\n";
        *screen = screen.strip_prefix(welcome).unwrap().to_string();
    }
    fn open_on(&self, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let opened = Opened { source: source(), peer: None, path: String::new(), headers };
        self.console().receive(Event::Opened(opened)).unwrap();
    }
    fn types(&self, line: &str) {
        *self.prompted.borrow_mut() = false;
        self.screen.borrow_mut().push_str(&format!("{line}\n"));
        self.console().receive(Event::Frame((source(), Frame::Text(line.into())))).unwrap();
    }
    /// Delivers the contents as one turn, handing each receipt on.
    fn turn(&self, contents: Vec<DeliveryContent>) {
        let mut receipt = None;
        for content in contents {
            let delivery = Delivery {
                id: "d".into(),
                conversation: CONVERSATION.into(),
                turn: Some("t".into()),
                handle: None,
                receipt: receipt.clone(),
                content,
            };
            match self.console().deliver(delivery).unwrap() {
                Outcome::Done(Some(new)) => receipt = Some(new),
                Outcome::Done(None) => (),
                Outcome::Pending | Outcome::Part(_) => panic!("a console has nothing to wait for"),
            }
        }
    }
    fn asks(&self, id: &str, command: &str) -> Approval {
        let approval = Approval {
            id: id.into(),
            conversation: CONVERSATION.into(),
            handle: None,
            tool: "system.run".into(),
            summary: "run a command".into(),
            arguments: json!({ "command": command }).to_string(),
            expires: 0,
        };
        self.waiting.borrow_mut().push(approval.clone());
        self.console().ask(&approval).unwrap();
        approval
    }
    fn screen(&self) -> String {
        self.screen.borrow().clone()
    }
}

fn question(command: &str) -> String {
    format!("╭ system.run run a command\n│   {command}\n╰ [y]es · yes for this [s]ession · [n]o\n? ")
}

fn source() -> Source {
    Source { transport: "console".into(), connection: 7, tags: vec![CONVERSATION.into()] }
}

fn draft(text: &str, since: u32) -> DeliveryContent {
    DeliveryContent::Draft(Draft { text: text.into(), since, reasoning: String::new() })
}

fn reply(text: &str) -> DeliveryContent {
    let usage = Usage { input: 0, output: 0, cache_read: 0, cache_write: 0, cost: None };
    DeliveryContent::Reply(Reply { text: text.into(), usage, model: "demo/demo".into() })
}

fn activity(state: ActivityState) -> DeliveryContent {
    DeliveryContent::Activity(Activity { call: "c1".into(), tool: "system.run".into(), state })
}

fn said(number: u64, text: &str) -> Inbound {
    Inbound {
        id: format!("line-{number}"),
        conversation: CONVERSATION.into(),
        sender: Sender { id: "local".into(), name: "Ada".into() },
        text: text.into(),
        attachments: vec![],
        sent: 1_700_000_000_000,
        handle: None,
    }
}

#[test]
fn a_line_becomes_a_message_and_the_reply_comes_with_a_new_prompt() {
    let stage = Stage::default();
    stage.open();
    stage.types("  hello ");
    stage.turn(vec![reply("Hi.")]);
    assert_eq!(stage.screen(), ">   hello \nHi.\n\n> ");
    assert_eq!(*stage.submitted.borrow(), [said(1, "hello")]);
    assert_eq!(*stage.tags.borrow(), [(7, CONVERSATION.to_string())]);
}

#[test]
fn every_line_has_an_id_of_its_own_and_an_empty_one_is_none() {
    let stage = Stage::default();
    stage.open();
    stage.types("one");
    stage.types("   ");
    stage.types("/model");
    assert_eq!(*stage.submitted.borrow(), [said(1, "one"), said(2, "/model")]);
}

#[test]
fn a_growing_reply_is_printed_piece_by_piece_and_never_twice() {
    let stage = Stage::default();
    stage.open();
    stage.types("tell");
    stage.turn(vec![draft("Once ", 0), draft("upon ", 5), draft("upon a", 5), reply("Once upon a time.")]);
    assert_eq!(stage.screen(), "> tell\nOnce upon a time.\n\n> ");
}

#[test]
fn a_lost_piece_is_made_good_by_the_reply() {
    let stage = Stage::default();
    stage.open();
    stage.types("tell");
    stage.turn(vec![draft("Once ", 0), draft("time", 12), reply("Once upon a time.")]);
    assert_eq!(stage.screen(), "> tell\nOnce upon a time.\n\n> ");
}

#[test]
fn a_reply_that_is_not_what_was_drafted_is_printed_in_full() {
    let stage = Stage::default();
    stage.open();
    stage.types("tell");
    stage.turn(vec![draft("Let me look.", 0), reply("There are two files.")]);
    assert_eq!(stage.screen(), "> tell\nLet me look.\nThere are two files.\n\n> ");
}

#[test]
fn tools_have_lines_of_their_own() {
    let stage = Stage::default();
    stage.open();
    stage.types("show files");
    stage.turn(vec![
        draft("I look.", 0),
        activity(ActivityState::Started(r#"{"command":"ls -la"}"#.into())),
        activity(ActivityState::Progress("half of the output".into())),
        activity(ActivityState::Done("exit code: 0".into())),
        activity(ActivityState::Failed("no\nsuch file".into())),
        draft("Two files.", 7),
        reply("I look.Two files."),
    ]);
    assert_eq!(
        stage.screen(),
        "> show files\nI look.\n• system.run ls -la\n  ✓ exit code: 0\n  ✗ system.run: no such file\nTwo files.\n\n> "
    );
}

#[test]
fn a_failure_is_marked_and_an_unasked_notice_does_not_stick_to_the_prompt() {
    let stage = Stage::default();
    stage.open();
    stage.turn(vec![DeliveryContent::Notice("The model is now demo.".into())]);
    stage.types("hi");
    stage.turn(vec![draft("I th", 0), DeliveryContent::Failed("The model does not answer; see `doctor`.".into())]);
    assert_eq!(
        stage.screen(),
        "> \nThe model is now demo.\n\n> hi\nI th\n❌ The model does not answer; see `doctor`.\n\n> "
    );
}

#[test]
fn media_are_named() {
    let stage = Stage::default();
    let media = Media { mime: "image/png".into(), name: Some("screen.png".into()), data: vec![0; 3000] };
    stage.turn(vec![DeliveryContent::Media(media)]);
    assert_eq!(stage.screen(), "[image/png, 3 KiB, screen.png]\n");
}

#[test]
fn the_next_line_answers_a_question() {
    for (line, decision) in [("y", Decision::AllowOnce), (" Session ", Decision::AllowSession), ("NO", Decision::Deny)]
    {
        let stage = Stage::default();
        stage.open();
        stage.types("show files");
        stage.asks("a1", "ls -la");
        stage.types(line);
        assert_eq!(*stage.decided.borrow(), [("a1".to_string(), "local".to_string(), decision)]);
        assert_eq!(stage.screen(), format!("> show files\n{}{line}\n", question("ls -la")));
    }
}

#[test]
fn anything_else_asks_again_but_a_command_goes_to_the_host() {
    let stage = Stage::default();
    stage.open();
    stage.types("show files");
    stage.asks("a1", "ls");
    stage.types("perhaps");
    stage.types("/stop");
    assert_eq!(*stage.decided.borrow(), []);
    assert_eq!(*stage.submitted.borrow(), [said(1, "show files"), said(2, "/stop")]);
    let again = format!("Please answer y, s or n, or stop it all with /stop.\n{}", question("ls"));
    assert!(stage.screen().contains(&again), "{}", stage.screen());
}

#[test]
fn several_questions_are_answered_one_after_the_other() {
    let stage = Stage::default();
    stage.open();
    stage.types("both");
    let first = stage.asks("a1", "ls");
    stage.asks("a2", "df");
    stage.types("y");
    let verdict = Verdict { approval: first, decision: Some(Decision::AllowOnce), by: None, receipt: None };
    stage.console().decided(&verdict).unwrap();
    stage.types("n");
    assert_eq!(
        *stage.decided.borrow(),
        [
            ("a1".to_string(), "local".to_string(), Decision::AllowOnce),
            ("a2".to_string(), "local".to_string(), Decision::Deny)
        ]
    );
    let screen = stage.screen();
    let (_, after) = screen.split_once("y\n").unwrap();
    assert_eq!(after, format!("  ✓ allowed\n{}n\n", question("df")));
}

#[test]
fn a_question_that_nobody_answered_says_so() {
    let stage = Stage::default();
    stage.open();
    let approval = stage.asks("a1", "ls");
    stage.waiting.borrow_mut().clear();
    stage.console().decided(&Verdict { approval, decision: None, by: None, receipt: None }).unwrap();
    assert!(stage.screen().ends_with("? \n  ✗ not answered in time\n"), "{}", stage.screen());
}

#[test]
fn a_terminal_that_comes_back_sees_the_open_question_first() {
    let stage = Stage::default();
    stage.asks("a1", "ls");
    stage.screen.borrow_mut().clear();
    *stage.prompted.borrow_mut() = false;
    stage.open();
    assert_eq!(stage.screen(), question("ls"));
}

#[test]
fn what_a_model_writes_cannot_steer_the_terminal() {
    let stage = Stage::default();
    stage.turn(vec![draft("a\x1b[2Jb", 0), reply("a\x1b[2Jb\x07!")]);
    assert_eq!(stage.screen(), "a[2Jb!\n\n> ");
}

#[test]
fn a_terminal_that_can_has_colours_and_markdown_and_the_setting_goes_first() {
    let shown = |color: Color, headers: &[(&str, &str)]| {
        let stage = Stage::default();
        let console = || Console::new(&stage, Settings { color, name: "Ada".into() });
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let opened = Opened { source: source(), peer: None, path: String::new(), headers };
        console().receive(Event::Opened(opened)).unwrap();
        stage.screen.borrow_mut().clear();
        let delivery = |receipt: Option<String>, content| Delivery {
            id: "d".into(),
            conversation: CONVERSATION.into(),
            turn: Some("t".into()),
            handle: None,
            receipt,
            content,
        };
        let Outcome::Done(receipt) = console().deliver(delivery(None, draft("a *", 0))).unwrap() else { panic!() };
        console().deliver(delivery(receipt, reply("a **b**"))).unwrap();
        let screen = stage.screen();
        screen.trim_start().split_once("\n\n").unwrap().0.to_string()
    };
    let (plain, bold) = ("a **b**", "a \x1b[1mb\x1b[0m");
    assert_eq!(shown(Color::Auto, &[]), plain);
    assert_eq!(shown(Color::Auto, &[("term", "xterm"), ("color", "yes")]), bold);
    assert_eq!(shown(Color::Auto, &[("term", "xterm"), ("color", "no")]), plain);
    assert_eq!(shown(Color::Always, &[]), bold);
    assert_eq!(shown(Color::Never, &[("color", "yes")]), plain);
}

#[test]
fn the_text_behind_a_tools_line_is_set_apart_by_one_empty_line() {
    let stage = Stage::default();
    stage.open_on(&[("color", "yes")]);
    stage.screen.borrow_mut().clear();
    stage.types("show");
    let done = activity(ActivityState::Done("exit code: 0".into()));
    stage.turn(vec![draft("I look.", 0), done, draft("\n\nTwo *files", 7), reply("I look.\n\nTwo *files*.")]);
    let shown = stage.screen();
    let (_, text) = shown.split_once("show\n").unwrap();
    let expected = "I look.\n\x1b[2m  ✓ exit code: 0\x1b[0m\n\nTwo \x1b[3mfiles\x1b[0m\x1b[3m\x1b[0m.\n\n";
    assert!(text.starts_with(expected), "{text:?}");
}

#[test]
fn ctrl_c_stops_what_runs_and_else_says_how_to_end() {
    let stage = Stage::default();
    stage.open();
    stage.types("\x03");
    assert_eq!(stage.screen(), "> \x03\nCtrl-D or /quit ends.\n> ");
    stage.types("tell");
    stage.types("\x03");
    assert_eq!(*stage.submitted.borrow(), [said(1, "tell"), said(2, "/stop")]);
    stage.turn(vec![reply("Once.")]);
    stage.types("\x03");
    assert_eq!(stage.submitted.borrow().len(), 2);
}

#[test]
fn where_lines_are_edited_the_prompt_follows_the_answer() {
    let stage = Stage::default();
    stage.open_on(&[("edit", "yes")]);
    assert!(stage.screen().contains("Ctrl-C to stop, Ctrl-D to end."));
    let approval = stage.asks("a1", "ls");
    stage.types("y");
    stage
        .console()
        .decided(&Verdict { approval, decision: Some(Decision::AllowOnce), by: None, receipt: None })
        .unwrap();
    assert!(stage.screen().ends_with("? y\n  ✓ allowed\n> "), "{}", stage.screen());
}

#[test]
fn a_long_command_is_shown_line_by_line() {
    let stage = Stage::default();
    stage.open();
    stage.asks("a1", "cd /tmp\nls \x1b[2J\n");
    assert!(stage.screen().ends_with("│   cd /tmp\n│   ls [2J\n╰ [y]es · yes for this [s]ession · [n]o\n? "));
}
