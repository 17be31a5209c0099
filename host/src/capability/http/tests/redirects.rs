//! Redirects: each hop passes the gate like the first.

use super::server::with_headers;
use super::*;

/// A server that redirects `/to?URL` with the status in the path: `/307?URL`.
async fn redirecting() -> Server {
    Server::start(|seen| match seen.path.split_once('?') {
        Some((status, to)) if status.len() == 4 => {
            with_headers(status.trim_start_matches('/').parse().unwrap(), &[("location", to)], "")
        }
        _ => plain(format!("{} {}", seen.method, seen.path)),
    })
    .await
}

fn audience(entry: &str) -> Entry {
    Entry::parse(entry).unwrap()
}

#[tokio::test]
async fn a_redirect_within_the_list_is_followed() {
    let server = redirecting().await;
    let world = World::new(&[lan("a.home", &server), lan("b.home", &server)]);
    for status in [301, 302, 303, 307, 308] {
        let url = server.at("a.home", &format!("/{status}?{}", server.at("b.home", "/end")));
        assert_eq!(world.text(get(url)).await, Ok("GET /end".into()));
    }
    assert_eq!(world.text(get(server.at("a.home", "/302?/here"))).await, Ok("GET /here".into()));
}

#[tokio::test]
async fn a_redirect_off_the_list_is_denied_and_never_asked() {
    let (server, other) = (redirecting().await, redirecting().await);
    let world = World::new(&[lan("a.home", &server)]);
    let tos = [other.at("b.home", "/"), other.at("a.home", "/"), "ftp://a.home/".into(), "https://rebind.test/".into()];
    for to in tos {
        let outcome = world.text(get(server.at("a.home", &format!("/302?{to}")))).await;
        assert!(denied(&outcome), "{to}: {outcome:?}");
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_redirect_to_the_metadata_address_is_denied_even_where_the_list_names_it() {
    let server = redirecting().await;
    let world = World::new(&[lan("a.home", &server), "lan:169.254.169.254".into()]);
    let outcome = world.text(get(server.at("a.home", "/302?http://169.254.169.254/latest/meta-data"))).await;
    assert!(denied(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn a_redirect_to_a_listed_name_that_resolves_to_this_machine_is_denied() {
    let (server, inside) = (redirecting().await, redirecting().await);
    let world = World::new(&[lan("a.home", &server), format!("rebind.test:{}", inside.port)]);
    let outcome = world.text(get(server.at("a.home", &format!("/302?https://rebind.test:{}/", inside.port)))).await;
    assert!(denied(&outcome), "{outcome:?}");
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_loop_of_redirects_ends_after_five() {
    let server = Server::start(|_| with_headers(302, &[("location", "/again")], "")).await;
    let world = World::new(&[local(&server)]);
    let outcome = world.text(get(server.url("/"))).await;
    assert_eq!(outcome, Err(Error::Unavailable("the server redirected over 5 times".into())));
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn the_body_goes_along_where_the_status_says_so() {
    let server = redirecting().await;
    let world = World::new(&[local(&server)]);
    let arrived = async |method: &str, status: u16| {
        let mut request = with(get(server.url(&format!("/{status}?/end"))), "content-type", "text/plain");
        request.method = method.into();
        request.body = b"body".to_vec();
        world.text(request).await.unwrap();
        let last = server.seen().pop().unwrap();
        let typed = last.header("content-type").is_some();
        format!("{} {} {typed}", last.method, String::from_utf8(last.body).unwrap())
    };
    assert_eq!(arrived("POST", 301).await, "GET  false");
    assert_eq!(arrived("POST", 302).await, "GET  false");
    assert_eq!(arrived("PUT", 302).await, "PUT body true");
    assert_eq!(arrived("PUT", 303).await, "GET  false");
    assert_eq!(arrived("POST", 307).await, "POST body true");
    assert_eq!(arrived("POST", 308).await, "POST body true");
}

#[tokio::test]
async fn the_guests_own_credentials_stay_with_the_host_that_it_asked() {
    let server = redirecting().await;
    let world = World::new(&[lan("a.home", &server), lan("b.home", &server)]);
    let arrived = async |to: String| {
        let request = get(server.at("a.home", &format!("/307?{to}")));
        let request =
            ["authorization", "cookie", "x-own"].iter().fold(request, |request, name| with(request, name, "mine"));
        world.text(request).await.unwrap();
        let last = server.seen().pop().unwrap();
        ["authorization", "cookie", "x-own"].map(|name| last.header(name).is_some())
    };
    assert_eq!(arrived(server.at("a.home", "/end")).await, [true, true, true]);
    assert_eq!(arrived(server.at("b.home", "/end")).await, [false, false, true]);
}

#[tokio::test]
async fn a_secret_follows_to_its_audience_only() {
    let server = redirecting().await;
    let here = audience(&lan("a.home", &server));
    let world = World::new(&[lan("a.home", &server), lan("b.home", &server)]).with_secret(vec![
        Use::Header { audience: here.clone(), name: "x-key".into() },
        Use::Header { audience: here, name: "authorization".into() },
    ]);
    let to = |host: &str| get(server.at("a.home", &format!("/307?{}", server.at(host, "/end"))));
    let arrived = |name: &str| server.seen().pop().unwrap().header(name);

    assert_eq!(world.text(with(to("a.home"), "x-key", world.stand_in())).await, Ok("GET /end".into()));
    assert_eq!(arrived("x-key"), Some(SECRET.into()));

    let asked = server.seen().len();
    let outcome = world.text(with(to("b.home"), "x-key", world.stand_in())).await;
    assert!(denied(&outcome), "{outcome:?}");
    assert_eq!(server.seen().len(), asked + 1, "b.home was asked");

    let bearer = format!("Bearer {}", world.stand_in());
    assert_eq!(world.text(with(to("b.home"), "authorization", bearer)).await, Ok("GET /end".into()));
    assert_eq!(arrived("authorization"), None);
}

#[tokio::test]
async fn a_redirect_that_carries_the_secret_away_in_its_address_is_denied() {
    let server = Server::start(|seen| {
        let key = seen.path.split("key=").last().unwrap_or_default().to_string();
        let to = seen.header("x-to").unwrap_or_default();
        if seen.path.starts_with("/start") {
            with_headers(302, &[("location", &format!("{to}?key={key}"))], "")
        } else {
            plain("end")
        }
    })
    .await;
    let world = World::new(&[lan("a.home", &server), lan("b.home", &server)])
        .with_secret(vec![Use::Query { audience: audience(&lan("a.home", &server)), name: "key".into() }]);
    let to = |to: String| with(get(server.at("a.home", &format!("/start?key={}", world.stand_in()))), "x-to", to);

    assert_eq!(world.text(to(server.at("a.home", "/end"))).await, Ok("end".into()));
    assert_eq!(server.seen().pop().unwrap().path, "/end?key=tok%2Fen%2B0123456789");

    let asked = server.seen().len();
    let outcome = world.text(to(server.at("b.home", "/end"))).await;
    assert!(denied(&outcome), "{outcome:?}");
    assert_eq!(server.seen().len(), asked + 1, "b.home was asked");
}
