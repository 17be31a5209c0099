//! `[plugins.NAME]`, plugins that are to be there, and `[registries.HOST]`, who one is where they come from.

use std::collections::BTreeMap;

use serde_json::Value;
use toml::de::DeTable;

use super::instance::{self, SecretSource, is_name};
use super::read::{Reader, Section};

/// A plugin that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// A file, an address, or a reference to a registry.
    pub source: String,
    /// SHA-256 of the file; not needed where the source has one.
    pub digest: Option<String>,
    /// The public key that has to have signed it.
    pub signer: Option<String>,
    /// What it may do in all its instances.
    pub grants: BTreeMap<String, Vec<String>>,
}

/// Who one is at a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// The name.
    pub user: String,
    /// The password, or a token.
    pub password: SecretSource,
}

/// The tables in `[plugins]`.
pub(super) fn plugins<'a>(section: &mut Section<'_, 'a>, table: Option<&DeTable<'a>>) -> BTreeMap<String, Pinned> {
    let mut all = BTreeMap::new();
    for (key, value) in table.into_iter().flatten() {
        let name = key.get_ref().as_ref();
        // The other keys of [plugins] hold no tables.
        let Some(table) = value.get_ref().as_table() else { continue };
        let place = section.reader.place(key.span().start);
        // It is known now, whatever is wrong with it.
        let _ = section.entry(name);
        if !is_name(name) || matches!(name, "dir" | "stock") {
            section.reader.problem(place, format!("\"{name}\" cannot be the name of a plugin here"));
            continue;
        }
        let mut one = section.reader.section(&format!("plugins.{name}"), Some(table));
        let source = one.text("source");
        let digest = one.text("digest");
        let signer = one.text("signer");
        let show = |grants: &BTreeMap<String, Vec<String>>| Value::from_iter(grants.clone());
        let grants = one.take("grants", &[], Some(BTreeMap::new()), |value, _| instance::grants(value), show).0;
        one.end();
        match source {
            Some(source) => {
                all.insert(name.to_owned(), Pinned { source, digest, signer, grants: grants.unwrap_or_default() });
            }
            None => {
                let text = format!("[plugins.{name}] has no `source`: say where it comes from, like oci://…@sha256:…");
                section.reader.problem(place, text);
            }
        }
    }
    all
}

/// The tables in `[registries]`.
pub(super) fn registries<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>) -> BTreeMap<String, RegistryLogin> {
    let mut all = BTreeMap::new();
    let Some(table) = super::table(reader, root, "registries") else { return all };
    for (key, value) in table {
        let host = key.get_ref().as_ref();
        let place = reader.place(key.span().start);
        let Some(table) = value.get_ref().as_table() else {
            let text = format!("`{host}` must be a table: write [registries.\"{host}\"], with the host in quotes");
            reader.problem(place, text);
            continue;
        };
        let mut one = reader.section(&format!("registries.{host}"), Some(table));
        let user = one.text("user");
        let password = one.take("password", &[], None, instance::secret, instance::show_secret).0;
        one.end();
        match (user, password) {
            (Some(user), Some(password)) => {
                all.insert(host.to_owned(), RegistryLogin { user, password });
            }
            _ => reader.problem(place, format!("[registries.\"{host}\"] needs `user` and `password`")),
        }
    }
    all
}
