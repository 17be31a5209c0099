//! What another version of a plugin wants, against what the one before it did.

use std::cmp::Ordering;

use crate::plugin::manifest::{Manifest, SecretUse};

/// What is new in a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// It asks for these, in words, and did not before: what a person has to agree to.
    pub wider: Vec<String>,
    /// It asks for these no more.
    pub narrower: Vec<String>,
    /// Capabilities, with what is new in their scopes.
    pub grants: Vec<(String, Vec<String>)>,
    /// Its version went back.
    pub older: bool,
}

/// Compares two versions.
pub fn changes(before: &Manifest, now: &Manifest) -> Changes {
    let mut found = Changes { older: order(&before.version, &now.version) == Ordering::Greater, ..Changes::default() };
    for need in &now.needs {
        let had = before.needs.iter().find(|had| had.capability == need.capability);
        let covers = |item: &String| had.is_some_and(|had| had.scope.iter().any(|had| had == item || had == "*"));
        let more: Vec<String> = need.scope.iter().filter(|item| !covers(item)).cloned().collect();
        if had.is_some() && more.is_empty() {
            continue;
        }
        let scope = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
        found.wider.push(format!("{}{scope}: {}", need.capability, need.reason));
        found.grants.push((need.capability.clone(), more));
    }
    for secret in &now.secrets {
        let had = before.secrets.iter().find(|had| had.name == secret.name);
        let new: Vec<String> = secret
            .uses
            .iter()
            .filter(|usage| !had.is_some_and(|had| had.uses.contains(usage)))
            .map(usage_in_words)
            .collect();
        if had.is_none() || !new.is_empty() {
            found.wider.push(format!("the secret {}: {}", secret.name, new.join(", ")));
        }
    }
    for had in &before.needs {
        let now = now.needs.iter().find(|need| need.capability == had.capability);
        let less: Vec<&str> = had
            .scope
            .iter()
            .filter(|item| !now.is_some_and(|need| need.scope.iter().any(|now| now == *item || now == "*")))
            .map(String::as_str)
            .collect();
        match now {
            None => found.narrower.push(had.capability.clone()),
            Some(_) if !less.is_empty() => found.narrower.push(format!("{} ({})", had.capability, less.join(", "))),
            Some(_) => (),
        }
    }
    let gone = before.secrets.iter().filter(|had| !now.secrets.iter().any(|secret| secret.name == had.name));
    found.narrower.extend(gone.map(|had| format!("the secret {}", had.name)));
    found
}

/// By the rules of semantic versions; what is none is compared as text.
fn order(before: &str, now: &str) -> Ordering {
    match (semver::Version::parse(before), semver::Version::parse(now)) {
        (Ok(before), Ok(now)) => before.cmp(&now),
        _ => before.cmp(now),
    }
}

/// Where a secret may go, or what may be done with it.
pub fn usage_in_words(usage: &SecretUse) -> String {
    match usage {
        SecretUse::Header(at) => format!("to {} in the header {}", at.audience, at.name),
        SecretUse::Basic(at) => format!("to {} as a password", at.audience),
        SecretUse::Path(audience) => format!("to {audience} in the path"),
        SecretUse::Query(at) => format!("to {} in the query {}", at.audience, at.name),
        SecretUse::Json(at) => format!("to {} in JSON at {}", at.audience, at.name),
        SecretUse::Form(at) => format!("to {} in the form field {}", at.audience, at.name),
        SecretUse::Frame(at) => format!("to {} in frames at {}", at.audience, at.name),
        SecretUse::Environment(at) => format!("to the program {} in {}", at.audience, at.name),
        SecretUse::Verify => "to check signatures".into(),
        SecretUse::Compare => "to compare with".into(),
        SecretUse::Mac { .. } | SecretUse::Digest => "to sign with".into(),
        SecretUse::Fact(claim) => format!("to read its {claim}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::manifest::{Need, Place, Secret};

    fn manifest(version: &str, needs: &[(&str, &[&str])], audiences: &[&str]) -> Manifest {
        let uses = |to: &&str| SecretUse::Header(Place { audience: (*to).into(), name: "authorization".into() });
        Manifest {
            name: "weather".into(),
            version: version.into(),
            summary: String::new(),
            needs: needs
                .iter()
                .map(|(capability, scope)| Need {
                    capability: (*capability).into(),
                    scope: scope.iter().map(ToString::to_string).collect(),
                    reason: "because".into(),
                    optional: false,
                })
                .collect(),
            secrets: vec![Secret {
                name: "key".into(),
                title: String::new(),
                uses: audiences.iter().map(uses).collect(),
                optional: true,
            }],
            settings: None,
            presets: Vec::new(),
            about: Vec::new(),
        }
    }

    #[test]
    fn more_wishes_are_told_first_and_only_what_is_new_is_granted() {
        let before = manifest("1.9.0", &[("http", &["a.org", "b.org"]), ("clock", &[])], &["a.org"]);
        let now = manifest("1.10.0", &[("http", &["b.org", "c.org"]), ("shell", &["*"])], &["a.org", "evil.org"]);
        let wanted = Changes {
            wider: vec![
                "http (c.org): because".into(),
                "shell (*): because".into(),
                "the secret key: to evil.org in the header authorization".into(),
            ],
            narrower: vec!["http (a.org)".into(), "clock".into()],
            grants: vec![("http".into(), vec!["c.org".into()]), ("shell".into(), vec!["*".into()])],
            older: false,
        };
        assert_eq!(changes(&before, &now), wanted);
        assert_eq!(changes(&before, &before), Changes::default());
    }

    #[test]
    fn a_star_covers_every_scope_and_losing_it_is_less() {
        let all = manifest("1.0.0", &[("shell", &["*"])], &[]);
        let one = manifest("1.0.1", &[("shell", &["git"])], &[]);
        assert_eq!(changes(&all, &one).narrower, ["shell (*)"]);
        assert!(changes(&all, &one).wider.is_empty());
        assert_eq!(changes(&one, &all).wider, ["shell (*): because"]);
    }

    #[test]
    fn versions_are_compared_as_versions() {
        assert_eq!(order("1.9.0", "1.10.0"), Ordering::Less);
        assert_eq!(order("2.0.0", "2.0.0-rc.1"), Ordering::Greater);
        assert_eq!(order("1.0.0", "1.0.0"), Ordering::Equal);
        assert!(changes(&manifest("2.0.0", &[], &[]), &manifest("1.0.0", &[], &[])).older);
    }
}
