//! What a plugin says of itself.

use super::bindings::describe::exports::openpista::plugin::manifest::{self, Need};

/// A plugin's word about itself. Pure data: it is asked for before anything is granted.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    name: String,
    version: String,
    summary: String,
    needs: Vec<Need>,
    secrets: Vec<Secret>,
    settings: Option<String>,
    about: Vec<(String, String)>,
}

/// A secret that a plugin uses and never sees, and where it may go.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    name: String,
    title: String,
    uses: Vec<Use>,
    optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Use {
    Header(String, String),
    Query(String, String),
    Json(String, String),
    Form(String, String),
    Path(String),
}

impl About {
    /// `About::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), "One line for the person")`
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            summary: summary.into(),
            needs: Vec::new(),
            secrets: Vec::new(),
            settings: None,
            about: Vec::new(),
        }
    }

    /// Asks for a capability: its name, what within it, and why. Without it the plugin does not work.
    #[must_use]
    pub fn needs<'a>(self, capability: &str, scope: impl IntoIterator<Item = &'a str>, reason: &str) -> Self {
        self.need(capability, scope, reason, false)
    }

    /// Asks for a capability that it works without; each call is refused then.
    #[must_use]
    pub fn may_use<'a>(self, capability: &str, scope: impl IntoIterator<Item = &'a str>, reason: &str) -> Self {
        self.need(capability, scope, reason, true)
    }

    fn need<'a>(
        mut self,
        capability: &str,
        scope: impl IntoIterator<Item = &'a str>,
        reason: &str,
        optional: bool,
    ) -> Self {
        let scope = scope.into_iter().map(str::to_string).collect();
        self.needs.push(Need { capability: capability.into(), scope, reason: reason.into(), optional });
        self
    }

    /// Has a secret.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Has settings of this type: their schema is made from it. What has `#[serde(default)]` may be left out.
    #[must_use]
    pub fn settings<T: schemars::JsonSchema>(mut self) -> Self {
        self.settings = Some(super::schema::<T>().to_string());
        self
    }

    /// In the contract's words: what the macros export.
    pub fn manifest(self) -> manifest::Manifest {
        self.into()
    }

    /// `licence`, `homepage`, `authors`, …
    #[must_use]
    pub fn says(mut self, key: &str, value: &str) -> Self {
        self.about.push((key.into(), value.into()));
        self
    }
}

impl Secret {
    /// Its name, and for the person what it is and where to get it.
    pub fn new(name: &str, title: &str) -> Self {
        Self { name: name.into(), title: title.into(), uses: Vec::new(), optional: false }
    }

    /// The plugin works without.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// May go to this audience in this header, alone or after a scheme.
    #[must_use]
    pub fn header(self, audience: &str, name: &str) -> Self {
        self.used(Use::Header(audience.into(), name.into()))
    }

    /// May go to this audience as this query parameter.
    #[must_use]
    pub fn query(self, audience: &str, name: &str) -> Self {
        self.used(Use::Query(audience.into(), name.into()))
    }

    /// May go to this audience in a JSON body, at this JSON Pointer.
    #[must_use]
    pub fn json(self, audience: &str, pointer: &str) -> Self {
        self.used(Use::Json(audience.into(), pointer.into()))
    }

    /// May go to this audience as this field of a form.
    #[must_use]
    pub fn form(self, audience: &str, field: &str) -> Self {
        self.used(Use::Form(audience.into(), field.into()))
    }

    /// May go to this audience within the path of the URL.
    #[must_use]
    pub fn path(self, audience: &str) -> Self {
        self.used(Use::Path(audience.into()))
    }

    fn used(mut self, usage: Use) -> Self {
        self.uses.push(usage);
        self
    }
}

impl From<About> for manifest::Manifest {
    fn from(from: About) -> Self {
        use manifest::{Place, SecretUse};
        let place = |audience, name| Place { audience, name };
        let usage = |usage| match usage {
            Use::Header(audience, name) => SecretUse::Header(place(audience, name)),
            Use::Query(audience, name) => SecretUse::Query(place(audience, name)),
            Use::Json(audience, name) => SecretUse::Json(place(audience, name)),
            Use::Form(audience, name) => SecretUse::Form(place(audience, name)),
            Use::Path(audience) => SecretUse::Path(audience),
        };
        let secret = |secret: Secret| manifest::Secret {
            name: secret.name,
            title: secret.title,
            uses: secret.uses.into_iter().map(usage).collect(),
            optional: secret.optional,
        };
        Self {
            name: from.name,
            version: from.version,
            summary: from.summary,
            needs: from.needs,
            secrets: from.secrets.into_iter().map(secret).collect(),
            settings: from.settings,
            presets: Vec::new(),
            about: from.about,
        }
    }
}
