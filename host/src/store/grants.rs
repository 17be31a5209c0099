//! What the person granted or refused, by plugin or instance name, and the digest that a plugin's grants were given to;
//! the last digest of each plugin file that worked.

use std::collections::BTreeMap;

use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::transaction::{Reading, Writing, decode};

pub(super) const GRANTS: TableDefinition<&str, &[u8]> = TableDefinition::new("grants");
pub(super) const DIGESTS: TableDefinition<&str, &str> = TableDefinition::new("grants.digests");
pub(super) const LAST_GOOD: TableDefinition<&str, &str> = TableDefinition::new("plugins.last-good");

/// What was said about one plugin or instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Granted {
    /// Capability to scope.
    pub allowed: BTreeMap<String, Vec<String>>,
    /// Capability to the refused part of its scope; empty: all of it.
    pub denied: BTreeMap<String, Vec<String>>,
}

impl Reading<'_> {
    /// What was granted to a plugin or instance.
    pub fn grants(&self, name: &str) -> Result<Option<Granted>, StoreError> {
        self.record(GRANTS, name)
    }

    /// All of it, by name.
    pub fn grants_all(&self) -> Result<BTreeMap<String, Granted>, StoreError> {
        let mut all = BTreeMap::new();
        for entry in self.view(GRANTS)?.all()? {
            let (name, bytes) = entry?;
            all.insert(name.value().to_string(), decode("grants", bytes.value())?);
        }
        Ok(all)
    }

    /// The digest that the plugin's grants were given to, in hex.
    pub fn grants_digest(&self, plugin: &str) -> Result<Option<String>, StoreError> {
        Ok(self.view(DIGESTS)?.get(plugin)?.map(|digest| digest.value().to_string()))
    }

    /// The digest of the last version of a plugin file that worked, in hex. Its bytes are kept elsewhere.
    pub fn last_good(&self, file: &str) -> Result<Option<String>, StoreError> {
        Ok(self.view(LAST_GOOD)?.get(file)?.map(|digest| digest.value().to_string()))
    }

    /// All of them, by file name.
    pub fn last_good_all(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let mut all = BTreeMap::new();
        for entry in self.view(LAST_GOOD)?.all()? {
            let (file, digest) = entry?;
            all.insert(file.value().to_string(), digest.value().to_string());
        }
        Ok(all)
    }
}

impl Writing<'_> {
    /// Replaces what was granted to a plugin or instance.
    pub fn grants_set(&mut self, name: &str, granted: &Granted) -> Result<(), StoreError> {
        self.put(GRANTS, name, granted)
    }

    /// Forgets what was granted, and to which digest. Whether there was anything.
    pub fn grants_remove(&mut self, name: &str) -> Result<bool, StoreError> {
        self.unset(DIGESTS, name)?;
        self.unset(GRANTS, name)
    }

    /// Binds the plugin's grants to a digest.
    pub fn grants_bind(&mut self, plugin: &str, digest: &str) -> Result<(), StoreError> {
        self.set(DIGESTS, plugin, digest)
    }

    /// Notes that this version of a plugin file works; `None` forgets the file.
    pub fn last_good_set(&mut self, file: &str, digest: Option<&str>) -> Result<(), StoreError> {
        match digest {
            Some(digest) => self.set(LAST_GOOD, file, digest),
            None => self.unset(LAST_GOOD, file).map(|_| ()),
        }
    }
}
