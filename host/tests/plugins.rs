//! Components that come, go and change under a running daemon.

mod daemon;

use daemon::client::{Client, kind};
use daemon::{Home, until};
use serde_json::{Value, json};

const QUESTION: &str = "show me the files here";

/// How the file stands in `plugin list`.
async fn standing(home: &Home, file: &str) -> Option<Value> {
    let list = home.json(&["plugin", "list"]).await;
    list.into_iter().find(|plugin| plugin["file"] == json!(file))
}

/// What the list says of a file that is broken while its last good version serves; none while it is not.
async fn broken(home: &Home, file: &str) -> Option<String> {
    let plugin = standing(home, file).await?;
    assert_eq!(plugin["standing"], json!("ready"), "{plugin}");
    plugin["reason"].as_str().filter(|why| why.contains("broken")).map(str::to_string)
}

/// The same component with a section that means nothing: another digest.
fn altered(bytes: &[u8]) -> Vec<u8> {
    // A custom section: id 0, its size, the length of its name, its name.
    [bytes, &[0, 5, 4], b"mark"].concat()
}

#[tokio::test]
async fn a_tool_is_gone_at_the_next_turn_when_its_file_is_and_back_when_it_is() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "tools").await;
    let file = home.plugins().join("tool-shell.wasm");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    until("the tool to go", async || standing(&home, "tool-shell.wasm").await.is_none().then_some(())).await;
    client.say("m1", QUESTION).await;
    assert_eq!(kind(&client.expect_any(&["approval", "reply"]).await), "reply");
    std::fs::write(&file, kept).unwrap();
    until("the tool to come back", async || {
        standing(&home, "tool-shell.wasm").await.filter(|plugin| plugin["standing"] == json!("ready"))
    })
    .await;
    client.say("m2", QUESTION).await;
    assert_eq!(kind(&client.expect_any(&["approval", "reply"]).await), "approval");
}

#[tokio::test]
async fn the_page_closes_with_its_component_and_opens_again() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "page").await;
    let file = home.plugins().join("channel-web.wasm");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    client.expect_end().await;
    assert!(Client::connect(&daemon.address).await.is_err());
    std::fs::write(&file, kept).unwrap();
    until("the page to open", async || Client::connect(&daemon.address).await.ok().map(drop)).await;
    let mut client = daemon.client(&home, "page").await;
    client.say("m1", "hello").await;
    client.expect("reply").await;
}

#[tokio::test]
async fn without_a_provider_the_person_is_told() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "model").await;
    std::fs::remove_file(home.plugins().join("provider-demo.wasm")).unwrap();
    until("the provider to go", async || standing(&home, "provider-demo.wasm").await.is_none().then_some(())).await;
    client.say("m1", "hello").await;
    let failed = client.expect_any(&["failed", "reply"]).await;
    assert_eq!(kind(&failed), "failed", "{failed}");
    assert!(failed["text"].as_str().unwrap().contains("model"), "{failed}");
}

#[tokio::test]
async fn a_broken_file_over_a_good_one_changes_nothing_but_the_list() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "broken").await;
    let file = home.plugins().join("tool-shell.wasm");
    let good = std::fs::read(&file).unwrap();
    let core_module = b"\0asm\x01\0\0\0".to_vec();
    let noise: Vec<u8> = good.iter().map(|byte| byte.wrapping_mul(31).wrapping_add(7)).collect();
    for (round, bad) in [noise, core_module, good[..good.len() / 2].to_vec()].into_iter().enumerate() {
        std::fs::write(&file, bad).unwrap();
        let why = until("the file to be listed as broken", async || broken(&home, "tool-shell.wasm").await).await;
        assert!(why.contains("last good version"), "{why}");
        client.say(&format!("m{round}"), QUESTION).await;
        let approval = client.expect_any(&["approval", "reply"]).await;
        assert_eq!(kind(&approval), "approval", "the good one is still in use");
        client.decide(&approval, "once").await;
        let reply = client.expect("reply").await;
        assert!(reply["text"].as_str().unwrap().contains("marmalade.txt"), "{reply}");
        std::fs::write(&file, &good).unwrap();
        let good_again = async || broken(&home, "tool-shell.wasm").await.is_none().then_some(());
        until("the file to be good again", good_again).await;
    }
}

#[tokio::test]
async fn a_channel_is_replaced_under_twenty_clients_and_no_turn_or_socket_is_lost() {
    const CLIENTS: usize = 20;
    const ROUNDS: usize = 4;
    let home = Home::new();
    let daemon = home.start().await;
    let file = home.plugins().join("channel-web.wasm");
    let before = standing(&home, "channel-web.wasm").await.unwrap();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(daemon.client(&home, &format!("c{number}")).await);
    }
    let talking = clients.into_iter().enumerate().map(|(number, mut client)| {
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                client.say(&format!("c{number}-m{round}"), "hello").await;
                let answer = client.expect_any(&["reply", "failed"]).await;
                assert_eq!(kind(&answer), "reply", "{answer}");
            }
            client.ping().await;
            client.seen.iter().filter(|frame| kind(frame) == "reply").count()
        })
    });
    let talking: Vec<_> = talking.collect();
    let other = altered(&std::fs::read(&file).unwrap());
    // As an editor or a package tool would do it: written beside, then renamed.
    let part = home.plugins().join("channel-web.part");
    std::fs::write(&part, other).unwrap();
    std::fs::rename(&part, &file).unwrap();
    until("the other component to be seen", async || {
        standing(&home, "channel-web.wasm").await.filter(|plugin| plugin["digest"] != before["digest"])
    })
    .await;
    let (code, out, err) = home.said(&["plugin", "allow", "channel-web"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    for one in talking {
        assert_eq!(one.await.unwrap(), ROUNDS);
    }
    let after = standing(&home, "channel-web.wasm").await.unwrap();
    assert_eq!((&after["standing"], &after["stock"]), (&json!("ready"), &json!(false)), "{after}");
}
