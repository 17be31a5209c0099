//! Who one is at a registry: `[registries]` of the configuration, else what `docker login` stored.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::fetch::FetchError;
use crate::capability::secrets::{Named, SecretValue};
use crate::config::{Config, Secret};

/// A name and a password, or a token in its place.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// All logins.
#[derive(Clone, Default)]
pub struct Logins {
    /// By registry, from the configuration.
    pub configured: BTreeMap<String, Login>,
    /// Docker's file; it need not exist.
    pub docker: Option<PathBuf>,
}

/// Docker's `config.json`, as far as it matters here.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Docker {
    auths: BTreeMap<String, Auth>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    /// Base64 of `NAME:PASSWORD`.
    auth: Option<String>,
}

impl Logins {
    /// Reads the passwords of the configuration; those of Docker's file are read when they are needed.
    pub fn of_config(config: &Config) -> anyhow::Result<Self> {
        let mut configured = BTreeMap::new();
        for (host, registry) in &config.registries {
            let place = || format!("the password of the registry {host}");
            let password = registry.password.read(&config.environment).with_context(place)?;
            configured.insert(host.clone(), Login { user: registry.user.clone(), password });
        }
        Ok(Self { configured, docker: Self::docker_file(&config.environment) })
    }

    /// Where Docker keeps its logins, by the variables that it looks at itself.
    fn docker_file(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")))?;
        Some(folder.join("config.json"))
    }

    /// The passwords of the configuration, for whoever cuts secrets out of what is written. One that is too short to be
    /// told from other words is not among them.
    pub fn secrets(&self) -> Vec<Named> {
        let named = self.configured.iter().filter_map(|(host, login)| {
            Some((format!("password of {host}"), SecretValue::new(login.password.reveal()).ok()?))
        });
        named.collect()
    }

    /// The login for a registry; none if there is none. Nothing of what is secret is in an error.
    pub fn of(&self, registry: &str) -> Result<Option<Login>, FetchError> {
        if let Some(login) = self.configured.get(registry) {
            return Ok(Some(login.clone()));
        }
        let Some(file) = &self.docker else { return Ok(None) };
        let Ok(bytes) = std::fs::read(file) else { return Ok(None) };
        let wrong = |why: &str| FetchError::Logins(format!("{}: {why}", file.display()));
        let docker: Docker =
            serde_json::from_slice(&bytes).map_err(|_| wrong("it is not what `docker login` writes"))?;
        let named = [registry.to_owned(), format!("https://{registry}"), format!("https://{registry}/v2/")];
        let Some(auth) = named.iter().find_map(|name| docker.auths.get(name)) else { return Ok(None) };
        let Some(packed) = auth.auth.as_ref().filter(|packed| !packed.is_empty()) else {
            // The password is with a program of Docker's, which is not run.
            let elsewhere = docker.creds_store.is_some() || docker.cred_helpers.contains_key(registry);
            let why = format!("the password of {registry} is not in it; set it in [registries] of config.toml");
            return if elsewhere { Err(wrong(&why)) } else { Ok(None) };
        };
        let unpacked = STANDARD.decode(packed).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let login = unpacked
            .as_deref()
            .and_then(|text| text.split_once(':'))
            .map(|(user, password)| Login { user: user.to_owned(), password: Secret::new(password) });
        login.map(Some).ok_or_else(|| wrong(&format!("the login of {registry} in it cannot be read")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_comes_before_what_docker_login_wrote_and_errors_hold_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let packed = STANDARD.encode("ann:hunter2hunter2");
        let text =
            format!(r#"{{"auths":{{"r.org":{{"auth":"{packed}"}},"bad.org":{{"auth":"hunter2!"}},"s.org":{{}}}}}}"#);
        std::fs::write(&file, text).unwrap();
        let own = Login { user: "bob".into(), password: Secret::new("other-password") };
        let logins = Logins { configured: [("own.org".to_owned(), own)].into(), docker: Some(file) };
        let user = |registry: &str| logins.of(registry).unwrap().map(|login| login.user);
        assert_eq!(
            ["r.org", "own.org", "s.org", "none.org"].map(user),
            [Some("ann".into()), Some("bob".into()), None, None]
        );
        assert_eq!(logins.of("r.org").unwrap().unwrap().password.reveal(), "hunter2hunter2");
        let error = logins.of("bad.org").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("bad.org") && !error.contains("hunter2"), "{error}");
    }
}
