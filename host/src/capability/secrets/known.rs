//! Every secret that the host knows, whosever it is: for the redaction of what the host itself writes and passes on.
//!
//! An instance's own secrets are cut out of what *it* is told (`InstanceSecrets`). But a tool may come upon another's: a
//! command prints the configuration, a file has a key in it. So what goes to the log, to the model, or to a channel is
//! searched for all of them, by one automaton however many there are. Values under eight bytes are no secrets at all
//! ([`super::SecretValue`]), so ordinary words stay.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::redact::{Filter, Redactor, RedactorError, label};
use super::value::SecretValue;

/// A secret's name and value.
pub type Named = (String, SecretValue);

/// All of them; shared by everything that writes.
#[derive(Debug, Default)]
pub struct Known(RwLock<Secrets>);

#[derive(Debug, Default)]
struct Secrets {
    /// By whoever told them.
    told: BTreeMap<String, Vec<Named>>,
    redactor: Arc<Redactor>,
}

impl Known {
    /// These are the secrets of `whose` from now on, in place of those that were told before. If they cannot be searched
    /// for, nothing changes.
    pub fn learn(&self, whose: &str, secrets: Vec<Named>) -> Result<(), RedactorError> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.told.get(whose).is_some_and(|before| *before == secrets) {
            return Ok(());
        }
        let mut told = known.told.clone();
        told.insert(whose.to_string(), secrets);
        let mut each: Vec<(&str, String)> = Vec::new();
        for (name, value) in told.values().flatten() {
            // Many instances may have the same one.
            if !each.iter().any(|(known, _)| *known == value.expose()) {
                each.push((value.expose(), label(name)));
            }
        }
        let redactor = Arc::new(Redactor::new(each)?);
        *known = Secrets { told, redactor };
        Ok(())
    }

    fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).redactor)
    }

    /// The text without any of them.
    pub fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let redactor = self.redactor();
        if redactor.occurs_in(text.as_bytes()) { Cow::Owned(redactor.clean(text)) } else { Cow::Borrowed(text) }
    }

    /// As `clean`, of a text that is kept.
    pub fn cleaned(&self, text: String) -> String {
        match self.clean(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(cleaned) => cleaned,
        }
    }

    /// As `clean`, of bytes.
    pub fn clean_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let redactor = self.redactor();
        if redactor.occurs_in(bytes) { Cow::Owned(redactor.clean_bytes(bytes)) } else { Cow::Borrowed(bytes) }
    }

    /// For a stream, with what is known now.
    pub fn filter(&self) -> Filter {
        Filter::new(self.redactor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Vec<Named> {
        values.iter().map(|value| ("key".to_string(), SecretValue::new(*value).unwrap())).collect()
    }

    #[test]
    fn everybodys_secrets_are_cut_out_until_they_are_told_anew() {
        let known = Known::default();
        assert!(matches!(known.clean("correct-horse"), Cow::Borrowed("correct-horse")));
        known.learn("config", secrets(&["correct-horse"])).unwrap();
        known.learn("plugins", secrets(&["battery-staple", "correct-horse"])).unwrap();
        let text = "correct-horse, battery-staple, Y29ycmVjdC1ob3JzZQ==";
        assert_eq!(known.clean(text), "[secret key], [secret key], [secret key]==");
        assert_eq!(*known.clean_bytes(b"\xff battery-staple"), *b"\xff [secret key]");
        known.learn("plugins", Vec::new()).unwrap();
        assert_eq!(known.clean(text), "[secret key], battery-staple, [secret key]==");
        assert!(matches!(known.clean("ordinary words"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_stream_that_began_before_a_secret_was_told_goes_on_undisturbed() {
        let known = Known::default();
        let mut filter = known.filter();
        assert_eq!(filter.push_text("corr"), "corr");
        known.learn("config", secrets(&["correct-horse"])).unwrap();
        assert_eq!(filter.push_text("ect-horse"), "ect-horse");
        let mut next = known.filter();
        assert_eq!(next.push_text("a corr") + &next.push_text("ect-horse") + &next.finish_text(), "a [secret key]");
    }
}
