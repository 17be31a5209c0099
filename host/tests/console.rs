//! The console in a real terminal: keys, a screen, and how it is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;
mod messenger;
#[path = "staged/skip.rs"]
mod skip;
#[path = "console/terminal.rs"]
mod terminal;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use daemon::{Home, until};
use messenger::model::{Model, Step, after_a_tool, echo, last, say};
use serde_json::json;
use skip::skip;
use terminal::{ENDED, Terminal};
use tokio::sync::Notify;

fn home(model: &Model) -> Home {
    messenger::home::home(model, "channel-console", "", "")
}

/// The terminal is as a shell wants it.
fn assert_sane(screen: &str) {
    for flag in ["icanon", "echo", "isig", "opost"] {
        assert!(screen.split([' ', ';', '\n']).any(|word| word == flag), "{flag}: {screen}");
    }
}

async fn ended(terminal: &Terminal) -> String {
    terminal.is("the end of the daemon", |screen| screen.contains(ENDED) && screen.contains("icanon")).await
}

#[tokio::test]
async fn a_line_is_edited_and_found_again_after_a_restart() {
    if !Terminal::there().await {
        return skip("console::a_line_is_edited_and_found_again_after_a_restart", "there is no tmux");
    }
    let model = Model::start(echo).await;
    let home = home(&model);
    let terminal = Terminal::start(&home, &[]).await;
    terminal.waits_at(">").await;

    terminal.types("hello wrld").await;
    terminal.press(&["Left", "Left", "Left"]).await;
    terminal.types("o").await;
    terminal.press(&["Home"]).await;
    terminal.says("oh ").await;
    terminal.shows("answer to oh hello world").await;

    terminal.types("junk").await;
    terminal.press(&["C-u"]).await;
    terminal.types("one two").await;
    terminal.press(&["C-w"]).await;
    terminal.types("three four").await;
    terminal.press(&["C-a", "C-e", "Left", "Left", "Left", "Left", "Left", "C-k", "Enter"]).await;
    terminal.shows("answer to one three\n").await;

    // A wide character is one step of the cursor and two cells.
    terminal.types("日本語").await;
    terminal.press(&["Left"]).await;
    terminal.press(&["BSpace"]).await;
    terminal.says("x").await;
    terminal.shows("> 日x語").await;
    terminal.shows("answer to 日x語").await;

    terminal.says(" not to be kept").await;
    terminal.shows("answer to not to be kept").await;
    terminal.press(&["C-d"]).await;
    let screen = ended(&terminal).await;
    assert!(screen.contains("ended with 0"), "{screen}");
    assert_sane(&screen);
    let history = home.path().join("history");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&history).unwrap().lines().count(), 3);
    drop(terminal);

    let terminal = Terminal::start(&home, &[]).await;
    terminal.waits_at(">").await;
    terminal.press(&["Up"]).await;
    terminal.waits_at("> 日x語").await;
    terminal.press(&["Up", "Enter"]).await;
    terminal.shows("answer to one three\n").await;
    terminal.press(&["C-r"]).await;
    terminal.types("wor").await;
    terminal.shows("oh hello world").await;
    terminal.press(&["Enter"]).await;
    terminal.shows("answer to oh hello world").await;
    terminal.says("/quit").await;
    assert_sane(&ended(&terminal).await);
    drop(terminal);

    // What the host says at its end is not for the next beginning.
    let terminal = Terminal::start(&home, &[]).await;
    let screen = terminal.waits_at(">").await;
    assert!(screen.ends_with("o end.\n>"), "{screen}");
}

#[tokio::test]
async fn what_is_pasted_is_one_message() {
    if !Terminal::there().await {
        return skip("console::what_is_pasted_is_one_message", "there is no tmux");
    }
    let model = Model::start(|request| say(format!("{:?}", last(request)))).await;
    let home = home(&model);
    let terminal = Terminal::start(&home, &[]).await;
    terminal.waits_at(">").await;
    terminal.pastes("first\n  second\nthird").await;
    terminal.shows("third").await;
    terminal.press(&["Enter"]).await;
    terminal.shows("\"first\\n  second\\nthird\"").await;
    assert_eq!(model.asked().len(), 1);
}

#[tokio::test]
async fn a_reply_grows_above_the_line_that_is_typed() {
    if !Terminal::there().await {
        return skip("console::a_reply_grows_above_the_line_that_is_typed", "there is no tmux");
    }
    let gates = [(); 3].map(|()| Arc::new(Notify::new()));
    let [first, second, third] = gates.clone();
    let script = move |request: &serde_json::Value| match last(request).as_str() {
        "slowly" => vec![
            Step::Say("The beginning of it, ".into()),
            Step::Wait(Arc::clone(&first)),
            Step::Say("the middle, which goes on into another row of this terminal, ".into()),
            Step::Wait(Arc::clone(&second)),
            Step::Say("and much later ".into()),
            Step::Wait(Arc::clone(&third)),
            Step::Say("the **end**.".into()),
        ],
        _ => echo(request),
    };
    let model = Model::start(script).await;
    let home = home(&model);
    let terminal = Terminal::start(&home, &[]).await;
    terminal.waits_at(">").await;
    terminal.says("slowly").await;
    terminal.shows("> slowly\nThe begin").await;
    terminal.types("next").await;
    terminal.press(&["Left"]).await;
    terminal.waits_at("> next").await;
    gates[0].notify_one();
    terminal.shows("The beginning of it, the middle, which goes on into another\nrow of this").await;
    terminal.types("x").await;
    terminal.waits_at("> nexxt").await;

    // What is said meanwhile does not tear the row that grows.
    terminal.press(&["Enter"]).await;
    terminal.is("the line above the row", |screen| screen.contains("another\n> nexxt\nrow of this")).await;
    terminal.resize(70, 20).await;
    terminal.types("more").await;
    gates[1].notify_one();
    terminal.shows("row of this terminal, and much").await;
    terminal.waits_at("> more").await;
    gates[2].notify_one();
    terminal.shows("row of this terminal, and much later the end.").await;
    terminal.shows("answer to nexxt").await;
    terminal.waits_at("> more").await;
    terminal.press(&["Enter"]).await;
    terminal.shows("answer to more").await;
}

#[tokio::test]
async fn ctrl_c_clears_the_line_stops_the_answer_or_says_how_to_end() {
    if !Terminal::there().await {
        return skip("console::ctrl_c_clears_the_line_stops_the_answer_or_says_how_to_end", "there is no tmux");
    }
    let never = Arc::new(Notify::new());
    let model = Model::start(move |request| match last(request).as_str() {
        "slowly" => vec![Step::Say("The beginning of it, ".into()), Step::Wait(Arc::clone(&never))],
        _ => echo(request),
    })
    .await;
    let home = home(&model);
    let terminal = Terminal::start(&home, &[]).await;
    terminal.waits_at(">").await;
    terminal.types("never mind").await;
    terminal.press(&["C-c"]).await;
    terminal.waits_at(">").await;
    terminal.press(&["C-c"]).await;
    terminal.shows("Ctrl-D or /quit ends.").await;
    terminal.says("slowly").await;
    terminal.shows("The begin").await;
    terminal.press(&["C-c"]).await;
    terminal.shows("Stopped.").await;
    terminal.says("hello").await;
    terminal.shows("answer to hello").await;
}

#[tokio::test]
async fn a_question_is_answered_with_a_letter_and_no_text_steers_the_terminal() {
    if !Terminal::there().await {
        return skip(
            "console::a_question_is_answered_with_a_letter_and_no_text_steers_the_terminal",
            "there is no tmux",
        );
    }
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[H\u{1b}[31m\u{9b}5A";
    let model = Model::start(move |request| match last(request).as_str() {
        _ if after_a_tool(request) => say(format!("It{evil} **ran**.")),
        text if text.starts_with("run") => {
            vec![Step::Call("system_run", json!({"command": format!("touch made; printf '{evil}' # {evil}")}))]
        }
        _ => echo(request),
    })
    .await;
    let home = home(&model);
    let terminal = Terminal::start(&home, &[]).await;
    terminal.waits_at(">").await;
    let title = terminal.property("#{pane_title}").await;
    terminal.says("run it").await;
    terminal.shows("touch made; printf").await;
    terminal.waits_at("?").await;
    terminal.says("perhaps").await;
    terminal.shows("Please answer y, s or n").await;
    terminal.says("n").await;
    terminal.shows("✗ denied").await;
    terminal.waits_at(">").await;
    assert!(!home.workspace().join("made").exists());
    terminal.says("run it again").await;
    terminal.waits_at("?").await;
    terminal.says("y").await;
    let screen =
        terminal.is("the reply", |screen| screen.contains("✓ allowed") && screen.matches(" ran.").count() == 2);
    screen.await;
    assert!(home.workspace().join("made").exists());
    assert_eq!(terminal.property("#{pane_title}").await, title);
    let colours = terminal.colours().await;
    assert!(colours.contains("\u{1b}[1mran"), "bold: {colours:?}");
}

#[tokio::test]
async fn a_signal_leaves_the_terminal_as_it_was_and_colours_are_not_for_everyone() {
    if !Terminal::there().await {
        return skip(
            "console::a_signal_leaves_the_terminal_as_it_was_and_colours_are_not_for_everyone",
            "there is no tmux",
        );
    }
    let model = Model::start(|_| say("**bold**")).await;
    let home = home(&model);
    for (environment, prompt) in [(("NO_COLOR", "1"), ">"), (("TERM", "dumb"), ">")] {
        let terminal = Terminal::start(&home, &[environment]).await;
        terminal.waits_at(prompt).await;
        terminal.says("hello").await;
        terminal.shows("**bold**").await;
        terminal.waits_at(prompt).await;
        terminal.types("half a li").await;
        terminal.shows("half a li").await;
        assert!(!terminal.colours().await.contains("\u{1b}[3"), "{environment:?}");
        let pid = std::fs::read_to_string(home.path().join("openpista.pid")).unwrap();
        let pid = nix::unistd::Pid::from_raw(pid.trim().parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let screen = ended(&terminal).await;
        assert_sane(&screen);
        until("the lock", async || home.json(&["session", "list"]).await.first().cloned()).await;
    }
}
