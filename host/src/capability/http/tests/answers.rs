//! What comes back: piece by piece, capped, decompressed, and without the secrets of whom it comes from.

use std::io::Write as _;

use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::mpsc;

use super::server::{Answer, streamed, with_headers};
use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A server whose one answer the test sends piece by piece.
async fn piecemeal() -> (Server, mpsc::Sender<Vec<u8>>) {
    let (pieces, incoming) = mpsc::channel(4);
    let incoming = Mutex::new(Some(incoming));
    let server = Server::start(move |_| {
        let answer: Answer = streamed(incoming.lock().unwrap().take().unwrap());
        std::future::ready(answer).boxed()
    })
    .await;
    (server, pieces)
}

/// The secret may go into a header of that server, and so is cut out of what it sends.
fn trusted(world: World, server: &Server) -> World {
    let audience = Entry::parse(&local(server)).unwrap();
    world.with_secret(vec![Use::Header { audience, name: "authorization".into() }])
}

async fn next(incoming: &mut Incoming) -> Option<String> {
    incoming.read().await.unwrap().map(|chunk| String::from_utf8(chunk.to_vec()).unwrap())
}

#[tokio::test]
async fn an_event_can_be_read_before_the_server_sends_the_next() {
    let (server, pieces) = piecemeal().await;
    let world = trusted(World::new(&[local(&server)]), &server);
    let mut incoming = world.send(get(server.url("/"))).await.unwrap();
    for event in ["data: 1\n\n", "data: t\n\n", "data: 3\n\n"] {
        pieces.send(event.into()).await.unwrap();
        assert_eq!(next(&mut incoming).await, Some(event.into()));
    }
    drop(pieces);
    assert_eq!(next(&mut incoming).await, None);
    assert_eq!(next(&mut incoming).await, None);
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_is_given_up() {
    let (server, pieces) = piecemeal().await;
    let world = World::new(&[local(&server)]);
    let mut incoming = world.send(get(server.url("/"))).await.unwrap();
    pieces.send(b"first".to_vec()).await.unwrap();
    assert_eq!(next(&mut incoming).await, Some("first".into()));
    // From here on the clock runs ahead whenever everything waits.
    tokio::time::pause();
    assert!(matches!(incoming.read().await, Err(Error::TimedOut)));
}

#[tokio::test]
async fn cancelling_ends_the_wait_for_the_next_piece() {
    let (server, pieces) = piecemeal().await;
    let world = World::new(&[local(&server)]);
    let mut incoming = world.send(get(server.url("/"))).await.unwrap();
    let (outcome, ()) = tokio::join!(incoming.read(), async { world.cancel.cancel() });
    assert!(matches!(outcome, Err(Error::Cancelled)));
    drop(pieces);
}

#[tokio::test]
async fn an_audience_that_echoes_the_secret_in_any_encoding_gives_nothing_away() {
    let server = Server::start(|seen| {
        let key = seen.header("authorization").unwrap().trim_start_matches("Bearer ").to_string();
        let body = [
            key.clone(),
            serde_json::json!({ "key": key }).to_string(),
            hex::encode(&key),
            url::form_urlencoded::byte_serialize(key.as_bytes()).collect(),
            base64::engine::general_purpose::STANDARD.encode(&key),
        ];
        with_headers(200, &[("x-echo", &format!("<{key}>")), ("set-cookie", &key)], body.join("\n"))
    })
    .await;
    let world = trusted(World::new(&[local(&server)]), &server);
    let request = with(get(server.url("/")), "authorization", format!("Bearer {}", world.stand_in()));
    let mut incoming = world.send(request).await.unwrap();
    let echoed: Vec<_> =
        incoming.headers().iter().filter(|(name, _)| name == "x-echo" || name == "set-cookie").collect();
    let expected = [("x-echo".to_string(), "<[secret key]>".to_string()), ("set-cookie".into(), "[secret key]".into())];
    assert_eq!(echoed, expected.iter().collect::<Vec<_>>());
    let body = String::from_utf8(incoming.rest(usize::MAX).await.unwrap()).unwrap();
    let expected = "[secret key]\n{\"key\":\"[secret key]\"}\n[secret key]\n[secret key]\n[secret key]";
    // Base64's last characters are made of the secret's last bits and padding: they stay.
    assert_eq!(body.trim_end_matches(|character| character != ']'), expected);
    assert_eq!(server.seen()[0].header("authorization"), Some(format!("Bearer {SECRET}")));
}

#[tokio::test]
async fn a_secret_that_is_cut_into_pieces_is_found() {
    let (server, pieces) = piecemeal().await;
    let world = trusted(World::new(&[local(&server)]), &server);
    let mut incoming = world.send(get(server.url("/"))).await.unwrap();
    let (first, second) = SECRET.split_at(7);
    pieces.send(format!("a {first}").into_bytes()).await.unwrap();
    assert_eq!(next(&mut incoming).await, Some("a ".into()));
    pieces.send(format!("{second} b").into_bytes()).await.unwrap();
    assert_eq!(next(&mut incoming).await, Some("[secret key] b".into()));
}

#[tokio::test]
async fn what_comes_from_a_host_that_is_no_audience_is_not_searched() {
    let server = Server::start(|_| plain(SECRET)).await;
    let audience = Entry::parse("elsewhere.test").unwrap();
    let world = World::new(&[local(&server)]).with_secret(vec![Use::Path { audience }]);
    assert_eq!(world.text(get(server.url("/"))).await, Ok(SECRET.into()), "a filter would tell a guess from a miss");
}

#[tokio::test]
async fn a_secret_inside_gzip_is_found() {
    let server = Server::start(|seen| {
        let asked = seen.header("accept-encoding").unwrap_or_default();
        assert!(asked.contains("gzip") && !asked.contains("guest"), "{asked}");
        with_headers(200, &[("content-encoding", "gzip")], gzip(format!("it is {SECRET}.").as_bytes()))
    })
    .await;
    let world = trusted(World::new(&[local(&server)]), &server);
    let request = with(get(server.url("/")), "accept-encoding", "guest");
    assert_eq!(world.text(request).await, Ok("it is [secret key].".into()));
}

#[tokio::test]
async fn an_encoding_that_the_host_cannot_look_into_is_refused() {
    let server =
        Server::start(|seen| with_headers(200, &[("content-encoding", seen.path.trim_start_matches('/'))], "?")).await;
    let world = World::new(&[local(&server)]);
    for encoding in ["rot13", "compress", "gzip,rot13"] {
        let outcome = world.text(get(server.url(&format!("/{encoding}")))).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{encoding}: {outcome:?}");
    }
    assert_eq!(world.text(get(server.url("/identity"))).await, Ok("?".into()));
}

#[tokio::test]
async fn a_small_answer_that_unpacks_to_over_64_mebibytes_is_cut_off() {
    let bomb = gzip(&vec![0; (64 << 20) + 1]);
    let server = Server::start(move |_| with_headers(200, &[("content-encoding", "gzip")], bomb.clone())).await;
    let world = World::new(&[local(&server)]);
    let mut incoming = world.send(get(server.url("/"))).await.unwrap();
    let mut received = 0;
    let outcome = loop {
        match incoming.read().await {
            Ok(Some(chunk)) => {
                assert!((1..=64 << 10).contains(&chunk.len()));
                received += chunk.len();
            }
            ended => break ended,
        }
    };
    assert!(matches!(outcome, Err(Error::TooLarge(_))), "{received} bytes came");
    assert!(received <= 64 << 20);
    assert_eq!(incoming.read().await, Ok(None), "it is closed");
}

#[tokio::test]
async fn a_large_piece_is_handed_over_in_chunks_of_64_kibibytes() {
    let server = Server::start(|_| plain(vec![b'x'; 200_000])).await;
    let world = World::new(&[local(&server)]);
    let mut incoming = world.send(get(server.url("/"))).await.unwrap();
    let mut sizes = Vec::new();
    while let Some(chunk) = incoming.read().await.unwrap() {
        sizes.push(chunk.len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 200_000);
    assert!(sizes.iter().all(|size| (1..=64 << 10).contains(size)), "{sizes:?}");
}

#[tokio::test]
async fn any_status_is_an_answer_and_header_names_are_in_lower_case() {
    let server = Server::start(|_| with_headers(503, &[("Retry-After", "7")], "busy")).await;
    let world = World::new(&[local(&server)]);
    let mut incoming = world.send(get(server.url("/"))).await.unwrap();
    let retry = incoming.headers().iter().find(|(name, _)| name == "retry-after").cloned();
    assert_eq!((incoming.status(), retry), (503, Some(("retry-after".into(), "7".into()))));
    assert_eq!(incoming.rest(10).await, Ok(b"busy".to_vec()));
}
