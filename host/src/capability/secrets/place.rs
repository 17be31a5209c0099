//! Where secrets go in: finds the stand-ins of a call in what is about to leave, checks each against the places that
//! the manifest declares for this very host, and writes the value in the spelling of the place.
//!
//! A stand-in at any other place fails the whole request: nothing is sent. An undeclared place is not just left alone,
//! for then a mistake would go out and be hard to find.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::instance::{CallSecrets, StandIn};
use super::spelling::{self, JsonEscape};
use super::value::{SecretValue, Use};
use crate::capability::Error;
use crate::capability::http::Target;

/// Looks a use up: whether this one declares the place.
type Declares<'a> = &'a dyn Fn(&Use) -> bool;

/// The stand-ins of a call, and whom the bytes are for.
struct Placement<'a> {
    stand_ins: Vec<StandIn<'a>>,
    /// How the audience is named in refusals.
    to: String,
}

impl CallSecrets {
    /// Puts secrets into a request that goes to `target`.
    pub(in crate::capability) fn fill_request(
        &self,
        target: &Target,
        url: &mut Url,
        headers: &mut [(String, String)],
        body: &mut Cow<'_, [u8]>,
    ) -> Result<(), Error> {
        let placement = Placement { stand_ins: self.stand_ins(), to: target.entry() };
        if placement.stand_ins.is_empty() {
            return Ok(());
        }
        placement.url(target, url)?;
        let form = headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("content-type")
                && value.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
        });
        for (name, value) in headers {
            placement.header(target, name, value)?;
        }
        if !placement.found(body).is_empty() {
            let filled = if form {
                placement.form(target, body)?
            } else {
                let declares = |pointer: &str, one: &Use| matches!(one, Use::Json { audience, pointer: at } if at == pointer && audience.matches(target));
                placement.json("its body", body, &declares)?
            };
            *body = Cow::Owned(filled.into_bytes());
        }
        Ok(())
    }

    /// `fill_request`, for the fuzzers.
    #[cfg(any(test, fuzzing))]
    pub fn fill(
        &self,
        target: &Target,
        url: &mut Url,
        headers: &mut [(String, String)],
        body: &mut Cow<'_, [u8]>,
    ) -> Result<(), Error> {
        self.fill_request(target, url, headers, body)
    }

    /// Whether a header carries a secret that `target` may have there.
    pub(in crate::capability) fn header_is_for(&self, target: &Target, name: &str, value: &str) -> bool {
        let placement = Placement { stand_ins: self.stand_ins(), to: target.entry() };
        let mut filled = value.to_string();
        placement.header(target, name, &mut filled).is_ok() && filled != value
    }

    /// Puts secrets into a text frame of a websocket that was dialled to `target`.
    pub fn fill_frame(&self, target: &Target, text: String) -> Result<String, Error> {
        let placement = Placement { stand_ins: self.stand_ins(), to: target.entry() };
        if placement.found(text.as_bytes()).is_empty() {
            return Ok(text);
        }
        let declares = |pointer: &str, one: &Use| matches!(one, Use::Frame { audience, pointer: at } if at == pointer && audience.matches(target));
        placement.json("a frame", text.as_bytes(), &declares)
    }

    /// Puts a secret into a variable of a process's environment; a secret is the whole value or none of it.
    pub fn fill_environment(&self, command: &str, variable: &str, value: String) -> Result<String, Error> {
        let placement = Placement { stand_ins: self.stand_ins(), to: command.to_string() };
        let Some(stand_in) = placement.found(value.as_bytes()).first().copied() else { return Ok(value) };
        let declares =
            |one: &Use| matches!(one, Use::Environment { command: of, name } if of == command && name == variable);
        let place = format!("the variable {variable}");
        let secret = placement.value(stand_in, value == stand_in.text, &place, &declares)?;
        if secret.expose().contains('\0') {
            return Err(Error::Invalid(format!(
                "the secret {} has a zero byte, so it fits no variable",
                stand_in.declared.name
            )));
        }
        Ok(secret.expose().to_string())
    }

    /// Puts secrets into the data of a digest.
    pub(super) fn fill_digest(&self, data: Vec<u8>) -> Result<Vec<u8>, Error> {
        super::check_size(data.len())?;
        let placement = Placement { stand_ins: self.stand_ins(), to: "a digest".into() };
        let mut filled = data;
        let found: Vec<String> = placement.found(&filled).iter().map(|one| one.text.clone()).collect();
        for stand_in in placement.stand_ins.iter().filter(|one| found.contains(&one.text)) {
            let secret = placement.value(stand_in, true, "its data", &|one| *one == Use::Digest)?;
            filled = replace_bytes(&filled, stand_in.text.as_bytes(), secret.expose().as_bytes());
        }
        Ok(filled)
    }
}

impl<'a> Placement<'a> {
    /// The stand-ins that occur in `bytes`.
    fn found(&self, bytes: &[u8]) -> Vec<&StandIn<'a>> {
        self.stand_ins.iter().filter(|stand_in| count(bytes, &stand_in.text) > 0).collect()
    }

    fn refusal(&self, stand_in: &StandIn<'_>, place: &str) -> Error {
        let name = &stand_in.declared.name;
        Error::AccessDenied(format!(
            "the secret {name} may not go into {place} for {}: the manifest does not declare that place for it",
            self.to
        ))
    }

    /// The value for a place, if the place is declared and the stand-in is all that is there.
    fn value(
        &self,
        stand_in: &StandIn<'_>,
        whole: bool,
        place: &str,
        declares: Declares<'_>,
    ) -> Result<SecretValue, Error> {
        if !whole {
            return Err(Error::AccessDenied(format!(
                "the secret {} has to be the whole value of {place} for {}, nothing before or after it",
                stand_in.declared.name, self.to
            )));
        }
        if !stand_in.declared.uses.iter().any(declares) {
            return Err(self.refusal(stand_in, place));
        }
        let unset = || Error::NotFound(format!("no value is set for the secret {}", stand_in.declared.name));
        stand_in.value.clone().ok_or_else(unset)
    }

    fn url(&self, target: &Target, url: &mut Url) -> Result<(), Error> {
        let outside = [url.host_str(), Some(url.username()), url.password(), url.fragment()];
        for part in outside.into_iter().flatten() {
            if let Some(stand_in) = self.found(&percent_decode_str(part).collect::<Vec<_>>()).first() {
                return Err(self.refusal(stand_in, "the host, user or fragment of the address"));
            }
        }
        let mut path = url.path().to_string();
        let decoded: Vec<u8> = percent_decode_str(&path).collect();
        for stand_in in self.found(&decoded) {
            // One that is written with escapes is a mistake of the guest's, and would be missed below.
            let whole = count(path.as_bytes(), &stand_in.text) == count(&decoded, &stand_in.text);
            let declares = |one: &Use| matches!(one, Use::Path { audience } if audience.matches(target));
            let secret = self.value(stand_in, whole, "the path", &declares)?;
            path = path.replace(&stand_in.text, &spelling::percent(secret.expose(), spelling::PATH, true));
        }
        if path != url.path() {
            url.set_path(&path);
        }
        if let Some(query) = url.query().map(str::to_string) {
            let filled = self.pairs(
                &query,
                "parameter",
                &|secret| spelling::percent(secret, spelling::UNRESERVED, true),
                &|name, one| matches!(one, Use::Query { audience, name: of } if of == name && audience.matches(target)),
            )?;
            if filled != query {
                url.set_query(Some(&filled));
            }
        }
        Ok(())
    }

    fn form(&self, target: &Target, body: &[u8]) -> Result<String, Error> {
        let text = std::str::from_utf8(body).map_err(|_| Error::Invalid("a form with a secret is not UTF-8".into()))?;
        self.pairs(
            text,
            "field",
            &|secret| spelling::form(secret, true),
            &|name, one| matches!(one, Use::Form { audience, name: of } if of == name && audience.matches(target)),
        )
    }

    /// `name=value&…`, in a query or a form.
    fn pairs(
        &self,
        text: &str,
        kind: &str,
        spell: &dyn Fn(&str) -> String,
        declares: &dyn Fn(&str, &Use) -> bool,
    ) -> Result<String, Error> {
        let mut filled = Vec::new();
        for pair in text.split('&') {
            let (name, value) = form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
            if let Some(stand_in) = self.found(name.as_bytes()).first() {
                return Err(self.refusal(stand_in, &format!("the name of a {kind}")));
            }
            let Some(stand_in) = self.found(value.as_bytes()).first().copied() else {
                filled.push(pair.to_string());
                continue;
            };
            let place = format!("the {kind} {name}");
            let secret = self.value(stand_in, value == stand_in.text, &place, &|one| declares(&name, one))?;
            let written = pair.split_once('=').map_or("", |(name, _)| name);
            filled.push(format!("{written}={}", spell(secret.expose())));
        }
        Ok(filled.join("&"))
    }

    fn header(&self, target: &Target, name: &str, value: &mut String) -> Result<(), Error> {
        if let Some(stand_in) = self.found(name.as_bytes()).first() {
            return Err(self.refusal(stand_in, "the name of a header"));
        }
        let (scheme, credentials) = value.trim().split_once(' ').unwrap_or(("", value.trim()));
        if name.eq_ignore_ascii_case("authorization") && scheme.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(credentials.trim()).unwrap_or_default();
            if let Some(stand_in) = self.found(&decoded).first().copied() {
                let (user, password) = String::from_utf8_lossy(&decoded)
                    .split_once(':')
                    .map_or_else(Default::default, |(user, password)| (user.to_string(), password.to_string()));
                let declares = |one: &Use| matches!(one, Use::Basic { audience, name } if *name == user && audience.matches(target));
                let secret =
                    self.value(stand_in, password == stand_in.text, "the password of basic authorization", &declares)?;
                *value = format!("Basic {}", STANDARD.encode(format!("{user}:{}", secret.expose())));
                return Ok(());
            }
        }
        let Some(stand_in) = self.found(value.as_bytes()).first().copied() else { return Ok(()) };
        let token = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        let whole = credentials == stand_in.text && token;
        let place = format!("the header {}", name.to_ascii_lowercase());
        let secret = self.value(stand_in, whole, &place, &|one| {
            matches!(one, Use::Header { audience, name: of } if of.eq_ignore_ascii_case(name) && audience.matches(target))
        })?;
        if secret.expose().chars().any(char::is_control) {
            let name = &stand_in.declared.name;
            return Err(Error::Invalid(format!("the secret {name} has a control character, so it fits no header")));
        }
        *value = value.trim().replace(&stand_in.text, secret.expose());
        Ok(())
    }

    /// Each stand-in as often as it is a whole string at a declared place, and nowhere else; then every one of them can
    /// be replaced where it stands, and all other bytes stay as they were.
    fn json(&self, what: &str, text: &[u8], declares: &dyn Fn(&str, &Use) -> bool) -> Result<String, Error> {
        let found = self.found(text);
        let first = found.first().copied();
        let unreadable = || match first {
            Some(stand_in) => self.refusal(stand_in, &format!("{what}, which is not JSON,")),
            None => Error::Invalid(format!("{what} is not JSON")),
        };
        let mut filled = std::str::from_utf8(text).map_err(|_| unreadable())?.to_string();
        let document: Value = serde_json::from_str(&filled).map_err(|_| unreadable())?;
        let mut strings = Vec::new();
        collect_strings(&document, String::new(), &mut strings);
        for stand_in in found {
            let mut placed = 0;
            let mut secret = None;
            for (pointer, string) in strings.iter().filter(|(_, string)| string.contains(&stand_in.text)) {
                let whole = *string == stand_in.text;
                let place = format!("{what} at {pointer}");
                secret = Some(self.value(stand_in, whole, &place, &|one| declares(pointer, one))?);
                placed += 1;
            }
            // The rest is in keys, or in a value that another of the same key hides.
            let Some(secret) = secret.filter(|_| placed == count(text, &stand_in.text)) else {
                return Err(self.refusal(stand_in, &format!("a key or a doubled key of {what}")));
            };
            filled = filled.replace(&stand_in.text, &spelling::json(secret.expose(), JsonEscape::Needed, false));
        }
        Ok(filled)
    }
}

/// The strings of a document with their JSON Pointers.
fn collect_strings<'a>(value: &'a Value, pointer: String, into: &mut Vec<(String, &'a str)>) {
    match value {
        Value::String(text) => into.push((pointer, text)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_strings(item, format!("{pointer}/{index}"), into);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                collect_strings(member, format!("{pointer}/{key}"), into);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

fn count(bytes: &[u8], text: &str) -> usize {
    memchr::memmem::find_iter(bytes, text.as_bytes()).count()
}

fn replace_bytes(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, from) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(to);
        rest = after.split_at_checked(from.len()).map_or(&[], |(_, after)| after);
    }
    out.extend_from_slice(rest);
    out
}
