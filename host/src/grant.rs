//! What an instance may do: its manifest's needs, as far as the person (or the stock set-up) granted them.
//!
//! A capability that is not in here is not linked, so its functions do not exist for the guest. What is in here carries
//! a scope, in the words of the capability's WIT package, and each call is checked against it by that capability.

use std::collections::BTreeMap;

/// The capabilities of one instance, each with its scope. Settings in scopes (`{base-url}`) are filled in already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    scopes: BTreeMap<String, Vec<String>>,
}

impl Grants {
    /// From capability names and scopes.
    pub fn new(scopes: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        Self { scopes: scopes.into_iter().collect() }
    }

    /// Whether the capability is granted at all: whether it is linked.
    pub fn has(&self, capability: &str) -> bool {
        self.scopes.contains_key(capability)
    }

    /// The scope of a capability; `None` when it is not granted.
    pub fn scope(&self, capability: &str) -> Option<&[String]> {
        self.scopes.get(capability).map(Vec::as_slice)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.scopes.iter().map(|(name, scope)| (name.as_str(), scope.as_slice()))
    }
}

/// The sentence for a denial: what was refused and the command that would allow it.
pub fn denial(instance: &str, capability: &str, item: &str) -> String {
    format!(
        "{instance} may not use {capability} for {item}; to allow it: openpista-host plugin allow {instance} {capability}={item}"
    )
}
