//! Placement, signatures and stand-ins, each place of the contract in turn.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::*;
use crate::capability::http::{Entry, Target};

const VALUE: &str = "s3cr:t@/\"ü 9";

fn entry(text: &str) -> Entry {
    Entry::parse(text).unwrap()
}

fn secrets(value: Option<&str>, uses: Vec<Use>) -> CallSecrets {
    let declared = Declared { name: "key".into(), uses, optional: false };
    let other = Declared { name: "other".into(), uses: vec![Use::Compare], optional: true };
    let value = value.map(|value| SecretValue::new(value).unwrap());
    CallSecrets::new(Arc::new(InstanceSecrets::new("shop", [(declared, value), (other, None)]).unwrap()))
}

fn header(name: &str) -> Use {
    Use::Header { audience: entry("api.test"), name: name.into() }
}

/// What leaves, as `URL|headers|body`, or why nothing does.
fn sent(secrets: &CallSecrets, url: &str, headers: &[(&str, &str)], body: &str) -> Result<String, Error> {
    let mut url = Url::parse(url).unwrap();
    let mut headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect();
    let mut body = Cow::Borrowed(body.as_bytes());
    let target = Target::of(&url).unwrap();
    secrets.fill_request(&target, &mut url, &mut headers, &mut body)?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    Ok(format!("{url}|{}|{}", headers.join(", "), String::from_utf8(body.into_owned()).unwrap()))
}

fn denied(outcome: &Result<String, Error>) -> bool {
    matches!(outcome, Err(Error::AccessDenied(_)))
}

#[test]
fn every_declared_place_gets_the_value_in_its_own_spelling() {
    let audience = entry("api.test");
    let all = secrets(
        Some(VALUE),
        vec![
            header("Authorization"),
            Use::Basic { audience: audience.clone(), name: "user".into() },
            Use::Path { audience: audience.clone() },
            Use::Query { audience: audience.clone(), name: "key".into() },
            Use::Json { audience: audience.clone(), pointer: "/auth/0/to~1k".into() },
            Use::Form { audience, name: "token".into() },
        ],
    );
    let s = all.stand_in("key").unwrap();
    let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("user:{password}")));
    let json = |value: &str| format!("{{\"text\": 1.0, \"auth\":[{{\"to/k\":\"{value}\"}}]}}");
    let table = [
        (
            sent(&all, "https://api.test/", &[("authorization", &format!("Bearer {s}"))], ""),
            format!("https://api.test/|authorization: Bearer {VALUE}|"),
        ),
        (
            sent(&all, "https://api.test/", &[("authorization", &s)], ""),
            format!("https://api.test/|authorization: {VALUE}|"),
        ),
        (
            sent(&all, "https://api.test/", &[("authorization", &basic(&s))], ""),
            format!("https://api.test/|authorization: {}|", basic(VALUE)),
        ),
        (
            sent(&all, &format!("https://api.test/bot{s}/getMe"), &[], ""),
            "https://api.test/bots3cr:t@%2F%22%C3%BC%209/getMe||".into(),
        ),
        (
            sent(&all, &format!("https://api.test/?a=1&key={s}&b=%20"), &[], ""),
            "https://api.test/?a=1&key=s3cr%3At%40%2F%22%C3%BC%209&b=%20||".into(),
        ),
        (sent(&all, "https://api.test/", &[], &json(&s)), format!("https://api.test/||{}", json("s3cr:t@/\\\"ü 9"))),
        (
            sent(
                &all,
                "https://api.test/",
                &[("Content-Type", "application/x-www-form-urlencoded")],
                &format!("a=%2B&token={s}"),
            ),
            "https://api.test/|Content-Type: application/x-www-form-urlencoded|a=%2B&token=s3cr%3At%40%2F%22%C3%BC+9"
                .into(),
        ),
    ];
    for (outcome, expected) in table {
        assert_eq!(outcome, Ok(expected));
    }
}

#[test]
fn at_any_other_place_the_request_fails() {
    let only = secrets(
        Some("a-good-secret"),
        vec![header("authorization"), Use::Json { audience: entry("api.test"), pointer: "/token".into() }],
    );
    let s = &only.stand_in("key").unwrap();
    let encoded: String = s.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let at = |url: &str| sent(&only, url, &[], "");
    let with = |name: &str, value: &str| sent(&only, "https://api.test/", &[(name, value)], "");
    let body = |body: &str| sent(&only, "https://api.test/", &[], body);
    let places = [
        at(&format!("https://api.test/{s}")),
        at(&format!("https://api.test/{encoded}")),
        at(&format!("https://api.test/?q={s}")),
        at(&format!("https://api.test/?q={encoded}")),
        at(&format!("https://api.test/?{s}=1")),
        at(&format!("https://{s}.test/")),
        at(&format!("https://{s}@api.test/")),
        at(&format!("https://api.test/#{s}")),
        with("x-other", s),
        with(s, "1"),
        with("authorization", &format!("Bearer {s}, {s}")),
        with("authorization", &format!("Bearer x{s}")),
        with("authorization", &format!("Basic {}", STANDARD.encode(format!("user:{s}")))),
        body(&format!("{{\"other\":\"{s}\"}}")),
        body(&format!("{{\"token\":\"x{s}\"}}")),
        body(&format!("{{\"{s}\":1,\"token\":\"{s}\"}}")),
        body(&format!("{{\"other\":\"{s}\",\"other\":1,\"token\":\"{s}\"}}")),
        body(&format!("token={s}")),
        body(s),
    ];
    let through: Vec<_> = (0..).zip(&places).filter(|(_, outcome)| !denied(outcome)).collect();
    assert_eq!(through, []);
}

#[test]
fn a_host_that_is_no_audience_gets_no_secret() {
    let only = secrets(Some("a-good-secret"), vec![header("authorization")]);
    let s = only.stand_in("key").unwrap();
    let to = |url: &str| sent(&only, url, &[("authorization", &s)], "");
    assert_eq!(to("https://api.test/"), Ok("https://api.test/|authorization: a-good-secret|".into()));
    for url in ["https://evil.test/", "https://api.test.evil/", "http://api.test/", "https://api.test:8443/"] {
        assert!(denied(&to(url)), "{url}");
    }
}

#[test]
fn a_secret_with_a_line_end_is_not_written_into_a_header() {
    let only = secrets(Some("good\r\nx-evil: 1"), vec![header("authorization")]);
    let s = only.stand_in("key").unwrap();
    let outcome = sent(&only, "https://api.test/", &[("authorization", &s)], "");
    assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
}

#[test]
fn a_stand_in_of_another_call_is_an_ordinary_text() {
    let first = secrets(Some("a-good-secret"), vec![header("authorization")]);
    let second = CallSecrets::new(Arc::clone(first.instance()));
    let s = first.stand_in("key").unwrap();
    second.stand_in("key").unwrap();
    let outcome = sent(&second, "https://api.test/", &[("authorization", &s)], "");
    assert_eq!(outcome, Ok(format!("https://api.test/|authorization: {s}|")));
}

#[test]
fn a_stand_in_is_48_characters_that_differ_from_call_to_call() {
    let call = secrets(Some("a-good-secret"), vec![]);
    let s = call.stand_in("key").unwrap();
    assert_eq!(s.len(), 48);
    assert!(s.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{s}");
    assert_eq!(call.stand_in("key").unwrap(), s);
    assert_ne!(CallSecrets::new(Arc::clone(call.instance())).stand_in("key").unwrap(), s);
    assert!(matches!(call.stand_in("other"), Err(Error::NotFound(_))));
    assert!(matches!(call.stand_in("nothing"), Err(Error::AccessDenied(_))));
}

#[test]
fn a_frame_is_filled_at_its_pointer_and_nowhere_else() {
    let call = secrets(
        Some("a\"good\\secret"),
        vec![Use::Frame { audience: entry("*.chat.test"), pointer: "/d/token".into() }],
    );
    let s = call.stand_in("key").unwrap();
    let target = |url: &str| Target::of(&Url::parse(url).unwrap()).unwrap();
    let to = target("wss://gateway.chat.test/");
    let frame = format!("{{\"op\":2,\"d\":{{\"token\":\"{s}\"}}}}");
    let filled = "{\"op\":2,\"d\":{\"token\":\"a\\\"good\\\\secret\"}}";
    assert_eq!(call.fill_frame(&to, frame.clone()), Ok(filled.to_string()));
    assert_eq!(call.fill_frame(&to, "not json".into()), Ok("not json".into()));
    assert!(denied(&call.fill_frame(&target("wss://other.test/"), frame)));
    assert!(denied(&call.fill_frame(&to, format!("{{\"d\":\"{s}\"}}"))));
    assert!(denied(&call.fill_frame(&to, s)));
}

#[test]
fn a_variable_is_filled_for_its_command_only() {
    let call =
        secrets(Some("a-good-secret"), vec![Use::Environment { command: "bridge".into(), name: "TOKEN".into() }]);
    let s = call.stand_in("key").unwrap();
    assert_eq!(call.fill_environment("bridge", "TOKEN", s.clone()), Ok("a-good-secret".into()));
    assert_eq!(call.fill_environment("bridge", "HOME", "/tmp".into()), Ok("/tmp".into()));
    for (command, name, value) in
        [("sh", "TOKEN", s.clone()), ("bridge", "PATH", s.clone()), ("bridge", "TOKEN", format!("x{s}"))]
    {
        assert!(denied(&call.fill_environment(command, name, value)), "{command} {name}");
    }
    let lines = call.instance().redactor_from_command("bridge").unwrap();
    assert_eq!(lines.clean("token is a-good-secret"), "token is [secret key]");
    let others = call.instance().redactor_from_command("sh").unwrap();
    assert_eq!(others.clean("token is a-good-secret"), "token is a-good-secret");
}

#[test]
fn a_mac_is_verified_for_each_hash_and_a_wrong_one_refused() {
    // Made with Python's `hmac` for the key and message below.
    let macs = [
        (Hash::Sha256, "1d0278ff6c7ae9e58389b3d5fc03d29b84271c73b44ff0bd2e3a2e82b331bb99"),
        (
            Hash::Sha512,
            "4fa10f1918a206404a35b1210c4e30a7de6c4cb909186a24191e9a52aec9e46a640463ae7e0e2a91e458baf72c225c6822a78e3814f2ea12ba3a26f5b6d5db22",
        ),
        (Hash::Sha1, "20b7f43bed029665deddb13aaacd3052fd145887"),
    ];
    let call = secrets(Some("key-of-8-or-more"), vec![Use::Verify]);
    let verify = |hash, message: &str, mac: &str| {
        call.instance().verify("key", hash, message.as_bytes(), &hex::decode(mac).unwrap())
    };
    for (hash, mac) in macs {
        assert_eq!(verify(hash, "message", mac), Ok(true));
        assert_eq!(verify(hash, "massage", mac), Ok(false));
        assert_eq!(verify(hash, "message", mac.get(2..).unwrap()), Ok(false));
    }
    assert!(matches!(call.instance().verify("other", Hash::Sha256, b"", b""), Err(Error::AccessDenied(_))));
}

#[test]
fn a_chain_of_rounds_makes_the_published_signing_key_and_gives_no_key_on_the_way() {
    // The published example: AWS General Reference, "Examples of how to derive a signing key".
    let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let call = secrets(Some(key), vec![Use::Mac { prefix: "AWS4".into(), rounds: 4 }]);
    let rounds = ["20120215", "us-east-1", "iam", "aws4_request"].map(|round| round.as_bytes().to_vec());
    let mac = call.instance().mac("key", &rounds).unwrap();
    assert_eq!(hex::encode(mac), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    let early = call.instance().mac("key", &rounds[..3]);
    assert!(matches!(early, Err(Error::AccessDenied(_))), "a key on the way can be had: {early:?}");
}

#[test]
fn a_digest_covers_the_value_behind_a_stand_in() {
    let call = secrets(Some("a-good-secret"), vec![Use::Digest]);
    let s = call.stand_in("key").unwrap();
    let filled = call.fill_digest(format!("x:{s}\ny:{s}").into_bytes()).unwrap();
    assert_eq!(String::from_utf8(filled).unwrap(), "x:a-good-secret\ny:a-good-secret");
    let undeclared = secrets(Some("a-good-secret"), vec![]);
    let s = undeclared.stand_in("key").unwrap();
    assert!(matches!(undeclared.fill_digest(s.into_bytes()), Err(Error::AccessDenied(_))));
}

#[tokio::test(start_paused = true)]
async fn guessing_is_stopped_after_ten_wrong_answers_a_minute() {
    let call = secrets(Some("a-good-secret"), vec![Use::Compare]);
    let guess = |text: &str| call.instance().matches("key", text);
    assert_eq!(guess("a-good-secret"), Ok(true));
    for _ in 0..10 {
        assert_eq!(guess("wrong"), Ok(false));
    }
    assert!(matches!(guess("a-good-secret"), Err(Error::TooLarge(_))));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(guess("a-good-secret"), Ok(true));
}

#[test]
fn a_refreshed_token_is_used_at_once_and_its_predecessor_still_cut_out() {
    let call = secrets(Some("the-first-token"), vec![header("authorization")]);
    let s = call.stand_in("key").unwrap();
    let next = SecretValue::new("the-second-token").unwrap();
    assert!(call.instance().replace("key", Some(next)).unwrap());
    let outcome = sent(&call, "https://api.test/", &[("authorization", &s)], "");
    assert_eq!(outcome, Ok("https://api.test/|authorization: the-second-token|".into()));
    assert_eq!(call.redact("the-first-token the-second-token"), "[secret key] [secret key]");
    assert_eq!(call.redact(&s), "[secret key]");
}

#[test]
fn what_a_person_has_to_set_yet_is_listed() {
    assert_eq!(secrets(None, vec![]).instance().missing(), ["key"]);
    assert_eq!(secrets(Some("a-good-secret"), vec![]).instance().missing(), Vec::<&str>::new());
}

#[test]
fn a_token_tells_the_claims_that_are_declared_and_no_other() {
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let payload = r#"{"https://a.test/auth":{"account":"acc-7"},"exp":1700000000,"deep":{},"sub":"somebody"}"#;
    let token = format!("{}.{}.{}", part(r#"{"alg":"none"}"#), part(payload), part("signature"));
    let account = "/https:~1~1a.test~1auth/account";
    let facts = |value: &str| {
        let call =
            secrets(Some(value), vec![Use::Fact(account.into()), Use::Fact("/exp".into()), Use::Fact("/deep".into())]);
        [account, "/exp", "/deep", "/sub"].map(|claim| call.instance().fact("key", claim).map_err(|_| "denied"))
    };
    let some = |text: &str| Ok(Some(text.to_string()));
    assert_eq!(facts(&token), [some("acc-7"), some("1700000000"), Ok(None), Err("denied")]);
    for no_token in [
        "sk-a-plain-key",
        "header.payload",
        "header.%%%.signature",
        &format!("header.{}.signature", part("[1]")),
        "...........",
    ] {
        assert_eq!(facts(no_token), [Ok(None), Ok(None), Ok(None), Err("denied")], "{no_token}");
    }
}
