//! What strangers' bytes are read by, as functions of bytes: for the fuzzers in `host/fuzz` and for the test below, which
//! runs what is kept in `host/fuzz/corpus`, and changes of it, with every `cargo test`.
//!
//! Each panics when something does not hold that must hold for all bytes. Nothing of this is in the program.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use url::Url;

use crate::agent::arguments::Schemas;
use crate::capability::http::scope::reach;
use crate::capability::http::{Entry, Reach, Target};
use crate::capability::secrets::{
    CallSecrets, Declared, Filter, InstanceSecrets, Redactor, SecretValue, Use, redact, spelling,
};
use crate::config::{Config, Sources};
use crate::message::{in_one_line, steers};
use crate::plugin;
use crate::plugin::manifest::Manifest;
use crate::transport;
use crate::wit::role::manifest as wit;

/// What is done with one input.
pub type Run = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: &[(&str, Run)] = &[
    ("component", component),
    ("config", config),
    ("frames", frames),
    ("manifest", manifest),
    ("placeholders", placeholders),
    ("redaction", redaction),
    ("scope", scope),
    ("settings", settings),
];

/// Longer input finds nothing that shorter does not.
const COMPONENT_MAX: usize = 64 << 10;

/// A file of the plugins folder, up to where its code would run.
pub fn component(data: &[u8]) {
    static ENGINE: LazyLock<wasmtime::Engine> = LazyLock::new(wasmtime::Engine::default);
    if data.len() > COMPONENT_MAX {
        return;
    }
    if let Err(error) = plugin::look(&ENGINE, data) {
        assert!(!format!("{error:#}").is_empty());
    }
}

/// `config.toml`.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let sources = Sources {
        home: "/nowhere".into(),
        file: None,
        environment: BTreeMap::from([("HOME".to_string(), "/nowhere".to_string())]),
        overrides: BTreeMap::new(),
        user_folder: "/nowhere".into(),
        started_in: "/nowhere".into(),
        at_terminal: false,
    };
    if let Err(error) = Config::parse(&text, Path::new("/nowhere/config.toml"), &sources) {
        assert!(!error.to_string().is_empty());
    }
}

/// Lines of a process or of the console, what is drawn of a channel's frame on a terminal, and what is logged of a guest.
pub fn frames(data: &[u8]) {
    let lines = transport::lines_of(data, 64);
    let rest: usize = lines.iter().map(Vec::len).sum();
    assert!(rest <= data.len());
    let text = String::from_utf8_lossy(data);
    for (shown, plain) in transport::drawn_of(&text) {
        assert!(plain.chars().all(|c| !c.is_control() || c == '\n'), "{shown:?} steers the terminal");
    }
    let line = in_one_line(&text);
    assert!(!line.contains(|c| steers(c) && c != '\t'), "{line:?} is more than a line");
}

/// What a component says of itself: a line for each thing that it says.
pub fn manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(checked) = Manifest::check(said(&text)) else { return };
    let needs = checked.needs.iter().flat_map(|need| need.scope.iter().chain([&need.capability, &need.reason]));
    for shown in needs.chain([&checked.name, &checked.summary]) {
        assert!(!shown.contains(steers), "{shown:?} is shown to a person");
    }
    assert!(!checked.short_name().is_empty());
    let written = serde_json::to_vec(&checked).ok().and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    assert_eq!(written.as_ref(), Some(&checked), "it is kept as it is");
    // Whether it fits is one thing; that it is known is another.
    let _ = checked.settings(serde_json::Map::new());
}

/// Lines of words, apart by a tabulator; the first says what the line is about.
fn said(text: &str) -> wit::Manifest {
    let mut said = wit::Manifest {
        name: "tool-fuzz".into(),
        version: "1.0.0".into(),
        summary: String::new(),
        needs: Vec::new(),
        secrets: Vec::new(),
        settings: None,
        presets: Vec::new(),
        about: Vec::new(),
    };
    for line in text.split('\n') {
        let mut words = line.split('\t').map(str::to_string);
        let mut word = || words.next().unwrap_or_default();
        match word().as_str() {
            "name" => said.name = word(),
            "version" => said.version = word(),
            "summary" => said.summary = word(),
            "settings" => said.settings = Some(word()),
            "about" => said.about.push((word(), word())),
            "need" => said.needs.push(wit::Need {
                capability: word(),
                reason: word(),
                optional: true,
                scope: words.collect(),
            }),
            "preset" => said.presets.push(wit::Preset {
                name: word(),
                title: word(),
                settings: word(),
                environment: vec![(word(), word())],
                probe: None,
                model: None,
                rank: 1,
            }),
            "secret" => {
                let (name, title, kind, audience, place) = (word(), word(), word(), word(), word());
                let at = wit::Place { audience, name: place };
                let one = match kind.as_str() {
                    "header" => wit::SecretUse::Header(at),
                    "json" => wit::SecretUse::Json(at),
                    "environment" => wit::SecretUse::Environment(at),
                    "path" => wit::SecretUse::Path(at.audience),
                    _ => wit::SecretUse::Fact(kind),
                };
                said.secrets.push(wit::Secret { name, title, uses: vec![one], optional: true });
            }
            _ => (),
        }
    }
    said
}

/// A schema and what is checked against it, apart by a zero byte: the settings of an instance, the arguments of a tool.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (schema, given) = text.split_once('\0').unwrap_or((&text, "{}"));
    if let Ok(manifest) = Manifest::check(wit::Manifest { settings: Some(schema.into()), ..said("") })
        && let Ok(Value::Object(given)) = serde_json::from_str(given)
        && let Ok(settings) = manifest.settings(given.clone())
    {
        assert!(given.keys().all(|key| settings.contains_key(key)), "what was given is kept");
    }
    if let Ok(checked) = Schemas::default().check(given, schema) {
        assert!(serde_json::from_str::<Value>(&checked).is_ok_and(|checked| checked.is_object()));
    }
}

const SECRET: &str = "S3cret/with \"signs\"&é";

fn call_with_a_secret() -> Option<CallSecrets> {
    let audience = || Entry::parse("api.test").ok();
    let name = || "token".to_string();
    let uses = vec![
        Use::Header { audience: audience()?, name: "authorization".into() },
        Use::Query { audience: audience()?, name: name() },
        Use::Path { audience: audience()? },
        Use::Json { audience: audience()?, pointer: "/token".into() },
        Use::Form { audience: audience()?, name: name() },
        Use::Frame { audience: audience()?, pointer: "/d/token".into() },
    ];
    let declared = Declared { name: "key".into(), uses, optional: true };
    let value = SecretValue::new(SECRET).ok();
    Some(CallSecrets::new(Arc::new(InstanceSecrets::new("fuzz", [(declared, value)]).ok()?)))
}

/// A frame, and a request (address, header, body, a line each) in which `$` is the stand-in: the secret goes where it is
/// declared and nowhere else.
pub fn placeholders(data: &[u8]) {
    static CALL: LazyLock<Option<CallSecrets>> = LazyLock::new(call_with_a_secret);
    let Some(call) = CALL.as_ref() else { return };
    let Ok(stand_in) = call.stand_in("key") else { return };
    let text = String::from_utf8_lossy(data).replace('$', &stand_in);
    for to in ["https://api.test/", "https://evil.test/"] {
        let Some(target) = Url::parse(to).ok().and_then(|url| Target::of(&url)) else { return };
        let ours = to == "https://api.test/";
        if let Ok(filled) = call.fill_frame(&target, text.clone()) {
            assert!(!filled.contains(&stand_in), "a stand-in left in {filled:?}");
            assert_eq!(filled == text, !text.contains(&stand_in));
            if filled != text {
                assert!(ours, "the secret went to a stranger");
                let document: Value = serde_json::from_str(&filled).unwrap_or_default();
                assert_eq!(document.pointer("/d/token").and_then(Value::as_str), Some(SECRET));
            }
        }
        let mut lines = text.splitn(4, '\n');
        let (path, name, value) = (lines.next(), lines.next(), lines.next());
        let (Some(path), Some(name), Some(value)) = (path, name, value) else { continue };
        let Ok(mut url) = Url::parse(to).and_then(|to| to.join(path)) else { continue };
        let Some(target) = Target::of(&url) else { continue };
        let mut headers = vec![(name.to_string(), value.to_string())];
        let given = lines.next().unwrap_or_default();
        let mut body = Cow::Borrowed(given.as_bytes());
        let before = (url.clone(), headers.clone());
        if call.fill(&target, &mut url, &mut headers, &mut body).is_ok() {
            let entry = Entry::parse("api.test").is_ok_and(|entry| entry.matches(&target));
            let changed = url != before.0 || headers != before.1 || *body != *given.as_bytes();
            assert!(entry || !changed, "the secret went to {}", target.entry());
        }
    }
}

/// What fuzzers change into secrets: by the first byte.
const SECRETS: [&str; 4] =
    ["correct-horse/battery", "S3cret with \"signs\" & <more>'+", "ünsäglich-schön", "aaaaaaaab"];

type Spelt = (Vec<Vec<u8>>, Arc<Redactor>);

/// Of each secret.
static SPELT: LazyLock<Vec<Spelt>> = LazyLock::new(|| {
    let spelt = SECRETS.iter().filter_map(|secret| {
        let redactor = Redactor::new([(*secret, redact::label("KEY"))]).ok()?;
        Some((spelling::all(secret).into_iter().collect(), Arc::new(redactor)))
    });
    spelt.collect()
});

/// A stream in which a byte above 0xef is a spelling of the secret, and the one behind it says which; cut into pieces of the
/// sizes that the second byte gives.
pub fn redaction(data: &[u8]) {
    let [which, size, rest @ ..] = data else { return };
    let Some((spellings, redactor)) = SPELT.get(usize::from(*which) % SECRETS.len()) else { return };
    let mut stream = Vec::new();
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            0xf0.. => {
                let index = usize::from(bytes.next().copied().unwrap_or_default()) % spellings.len().max(1);
                stream.extend_from_slice(spellings.get(index).map_or(&[], Vec::as_slice));
            }
            byte => stream.push(*byte),
        }
    }
    let mut filter = Filter::new(Arc::clone(redactor));
    let mut out = Vec::new();
    for piece in stream.chunks(usize::from(*size).max(1)) {
        out.extend(filter.push(piece));
    }
    out.extend(filter.finish());
    assert_eq!(out, redactor.clean_bytes(&stream), "where it is cut makes no difference");
    let finds = |bytes: &[u8]| spellings.iter().any(|one| memchr::memmem::find(bytes, one).is_some());
    assert!(!finds(&out), "a secret came through");
    assert_eq!(out == stream, !finds(&stream), "what holds no secret is not changed");
}

/// An entry of a scope and an address, apart by a line end.
pub fn scope(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (entry, address) = text.split_once('\n').unwrap_or((&text, "https://api.test/"));
    let Some(target) = Url::parse(address).ok().and_then(|url| Target::of(&url)) else { return };
    let reached = reach(&[entry.to_string()], &target);
    let parsed = Entry::parse(entry);
    assert_eq!(reached.is_some(), parsed.as_ref().is_ok_and(|entry| entry.matches(&target)));
    if let (Some(Reach::Public), Ok(_)) = (reached, &parsed) {
        assert!(target.secure, "{entry} lets {address} go out unencrypted");
    }
    // What a denial names allows what was denied.
    if let Ok(own) = Entry::parse(&format!("lan:{}", target.entry())) {
        assert!(own.matches(&target), "{} does not allow {address}", target.entry());
    }
    assert_eq!(reach(&[], &target), None);
}

#[cfg(test)]
mod tests;
