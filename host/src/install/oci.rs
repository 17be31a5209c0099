//! Plugins in registries: the part of the OCI distribution protocol that one artifact needs, and the layout that the CNCF
//! gives WebAssembly in it.
//!
//! An artifact is a manifest with a config of the type [`CONFIG_TYPE`] and one layer of the type [`LAYER_TYPE`], the
//! component as it is. Its signature is in the manifest's annotation [`SIGNATURE`], so it goes wherever the artifact is
//! copied. Every byte is held against its digest: the manifest's, if it is pinned, and the layer's. The crate `oci-client`
//! would do the same in more generality; it follows redirects to anywhere and reads answers of any length, which cannot
//! be set, so requests go through [`Web`].

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::fetch::{FetchError, Progress, Web, body, complaint, place};
use super::login::Login;
use super::source::{Reference, is_digest, is_loopback};
use crate::plugin::digest;

/// Of the config of a WebAssembly artifact.
pub const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// Of its one layer.
pub const LAYER_TYPE: &str = "application/wasm";
/// The annotation with the signature over the layer: a minisign file.
pub const SIGNATURE: &str = "dev.openpista.signature.minisign";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPES: &str =
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// Bytes of a manifest; registries keep to it, too.
const MANIFEST_MOST: u64 = 4 << 20;
/// Characters of an error.
const SHOWN: usize = 400;
/// Bytes of a token with what stands around it.
const TOKEN_MOST: u64 = 64 << 10;

/// What is expected of an artifact.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Bytes of the component at most.
    pub most: u64,
}

/// An artifact as it was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The component.
    pub bytes: Vec<u8>,
    /// SHA-256 of the manifest, in hex.
    pub manifest: String,
    /// The signature over the component.
    pub signature: Option<String>,
}

/// What is said of a component where it is published.
#[derive(Debug, Clone, Default)]
pub struct Published<'a> {
    /// As its manifest says.
    pub name: &'a str,
    /// As its manifest says.
    pub version: &'a str,
    /// One line.
    pub description: &'a str,
    /// A minisign file.
    pub signature: Option<&'a str>,
    /// RFC 3339.
    pub created: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// One repository of a registry.
pub struct Registry<'a> {
    web: &'a Web,
    reference: &'a Reference,
    plain: bool,
    login: Option<Login>,
    /// What the registry gave out for this repository.
    pass: Mutex<Option<HeaderValue>>,
}

impl<'a> Registry<'a> {
    /// Asks nothing yet.
    pub fn new(web: &'a Web, reference: &'a Reference, plain: bool, login: Option<Login>) -> Self {
        Self { web, reference, plain, login, pass: Mutex::new(None) }
    }

    /// Unencrypted where the registry is this machine, or where the person meant it.
    fn url(&self, path: &str) -> Result<Url, FetchError> {
        let at = |scheme: &str| {
            Url::parse(&format!("{scheme}://{}/v2/{}/{path}", self.reference.registry, self.reference.repository))
        };
        let url = at("https").map_err(|error| self.wrong(error.to_string()))?;
        let plain = self.plain || is_loopback(&url);
        if plain { at("http").map_err(|error| self.wrong(error.to_string())) } else { Ok(url) }
    }

    /// Much of it is in the registry's words, and a terminal would obey some.
    fn wrong(&self, why: impl Into<String>) -> FetchError {
        let why = why.into().chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        FetchError::Artifact { what: self.reference.to_string(), why }
    }

    /// The component behind the reference.
    pub async fn pull(&self, expected: &Expected, progress: &Progress<'_>) -> Result<Pulled, FetchError> {
        let (manifest, manifest_digest) = self.manifest().await?;
        let [layer] = manifest.layers.as_slice() else {
            return Err(self.wrong(format!("it has {} layers; a component is one", manifest.layers.len())));
        };
        let wanted = layer.digest.strip_prefix("sha256:").filter(|hex| is_digest(hex));
        let Some(wanted) = wanted else { return Err(self.wrong("its layer has no sha256 digest")) };
        if layer.size > expected.most {
            return Err(FetchError::TooLarge { what: self.reference.to_string(), most: expected.most });
        }
        let what = format!("the component of {}", self.reference);
        let url = self.url(&format!("blobs/sha256:{wanted}"))?;
        let response = self.send(&|| self.web.request(Method::GET, url.clone()), "pull").await?;
        if !response.status().is_success() {
            return Err(complaint(what, response).await);
        }
        let counted = |done, _| progress(done, Some(layer.size));
        let bytes = body(what.clone(), response, layer.size, &counted).await.map_err(|error| match error {
            FetchError::TooLarge { .. } => self.wrong("its layer has more bytes than the manifest says"),
            error => error,
        })?;
        let found = digest(&bytes);
        if found != wanted {
            if u64::try_from(bytes.len()).is_ok_and(|length| length < layer.size) {
                let why = format!("{} of {} bytes came", bytes.len(), layer.size);
                return Err(FetchError::CutOff { what, why });
            }
            return Err(FetchError::Digest { what, wanted: wanted.to_owned(), found });
        }
        Ok(Pulled { bytes, manifest: manifest_digest, signature: manifest.annotations.get(SIGNATURE).cloned() })
    }

    /// The manifest behind the reference, checked, and its digest in hex.
    pub(super) async fn manifest(&self) -> Result<(Checked, String), FetchError> {
        let url = self.url(&format!("manifests/{}", self.reference.wanted()))?;
        let accept = format!("{MANIFEST_TYPE}, {INDEX_TYPES}");
        let ask = || self.web.request(Method::GET, url.clone()).header(ACCEPT, &accept);
        let response = self.send(&ask, "pull").await?;
        if response.status() == StatusCode::NOT_FOUND {
            let why = "there is no such thing in the registry: look at its repository and tag".to_owned();
            return Err(self.wrong(why));
        }
        if !response.status().is_success() {
            return Err(complaint(self.reference.to_string(), response).await);
        }
        let kind = header(&response, CONTENT_TYPE.as_str());
        let named = header(&response, "docker-content-digest");
        let what = format!("the manifest of {}", self.reference);
        let bytes = body(what.clone(), response, MANIFEST_MOST, &|_, _| ()).await?;
        let found = digest(&bytes);
        let named = named.as_deref().and_then(|named| named.strip_prefix("sha256:"));
        for wanted in self.reference.digest.as_deref().into_iter().chain(named) {
            if wanted != found {
                return Err(FetchError::Digest { what, wanted: wanted.to_owned(), found });
            }
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| self.wrong("its manifest is not JSON"))?;
        let kind = value.get("mediaType").and_then(Value::as_str).map(str::to_owned).or(kind).unwrap_or_default();
        if kind.contains("index") || kind.contains("manifest.list") || value.get("manifests").is_some() {
            return Err(self.wrong("it is a list of images for several machines, not a WebAssembly component"));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| self.wrong(format!("its manifest is not that of an artifact: {error}")))?;
        let config = &manifest.config.media_type;
        if config != CONFIG_TYPE {
            return Err(self.wrong(format!("it is no WebAssembly: its config is {config}, not {CONFIG_TYPE}")));
        }
        if let Some(other) = manifest.layers.iter().find(|layer| layer.media_type != LAYER_TYPE) {
            return Err(self.wrong(format!("it has a layer of the type {}, not {LAYER_TYPE}", other.media_type)));
        }
        Ok((Checked { layers: manifest.layers, annotations: manifest.annotations }, found))
    }

    /// Puts a component there; returns the digest of its manifest in hex.
    pub async fn push(&self, bytes: &[u8], says: &Published<'_>) -> Result<String, FetchError> {
        let layer = format!("sha256:{}", digest(bytes));
        let config = json!({
            "created": says.created,
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [layer],
        });
        let config = config.to_string().into_bytes();
        let described = |kind: &str, bytes: &[u8]| Descriptor {
            media_type: kind.to_owned(),
            digest: format!("sha256:{}", digest(bytes)),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        };
        let mut annotations: BTreeMap<String, String> = [
            ("org.opencontainers.image.title", says.name),
            ("org.opencontainers.image.version", says.version),
            ("org.opencontainers.image.description", says.description),
            ("org.opencontainers.image.created", &says.created),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        annotations.extend(says.signature.map(|signature| (SIGNATURE.to_owned(), signature.to_owned())));
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.to_owned()),
            config: described(CONFIG_TYPE, &config),
            layers: vec![described(LAYER_TYPE, bytes)],
            annotations,
        };
        let manifest = serde_json::to_vec(&manifest).map_err(|error| self.wrong(error.to_string()))?;
        self.upload(bytes).await?;
        self.upload(&config).await?;
        let found = digest(&manifest);
        let named = self.reference.tag.clone().unwrap_or_else(|| format!("sha256:{found}"));
        let url = self.url(&format!("manifests/{named}"))?;
        let ask =
            || self.web.request(Method::PUT, url.clone()).header(CONTENT_TYPE, MANIFEST_TYPE).body(manifest.clone());
        let response = self.send(&ask, "pull,push").await?;
        if !response.status().is_success() {
            return Err(complaint(self.reference.to_string(), response).await);
        }
        Ok(found)
    }

    async fn upload(&self, bytes: &[u8]) -> Result<(), FetchError> {
        let name = format!("sha256:{}", digest(bytes));
        let there = self.url(&format!("blobs/{name}"))?;
        let there = self.send(&|| self.web.request(Method::HEAD, there.clone()), "pull,push").await?;
        if there.status().is_success() {
            return Ok(());
        }
        let begin = self.url("blobs/uploads/")?;
        let ask = || self.web.request(Method::POST, begin.clone()).header(CONTENT_LENGTH, 0);
        let response = self.send(&ask, "pull,push").await?;
        if !response.status().is_success() {
            return Err(complaint(self.reference.to_string(), response).await);
        }
        let location = header(&response, LOCATION.as_str()).and_then(|to| begin.join(&to).ok());
        let Some(mut into) = location else { return Err(self.wrong("the registry does not say where to upload to")) };
        into.query_pairs_mut().append_pair("digest", &name);
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        let ask = || {
            self.web
                .request(Method::PUT, into.clone())
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(bytes.clone())
        };
        let response = self.send(&ask, "pull,push").await?;
        if !response.status().is_success() {
            return Err(complaint(self.reference.to_string(), response).await);
        }
        Ok(())
    }

    /// Sends it, once more with a pass if the registry wants one.
    async fn send(&self, ask: &(dyn Fn() -> RequestBuilder + Sync), actions: &str) -> Result<Response, FetchError> {
        let pass = self.pass.lock().ok().and_then(|pass| pass.clone());
        let response = self.web.send(self.with(ask(), pass.as_ref()), self.plain).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let refused = || FetchError::Login { host: self.reference.registry.clone(), given: self.login.is_some() };
        let challenge = header(&response, WWW_AUTHENTICATE.as_str()).ok_or_else(refused)?;
        let pass = self.pass(&challenge, actions).await?.ok_or_else(refused)?;
        if let Ok(mut kept) = self.pass.lock() {
            *kept = Some(pass.clone());
        }
        let response = self.web.send(self.with(ask(), Some(&pass)), self.plain).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(refused()),
            _ => Ok(response),
        }
    }

    /// A pass is for the registry; an upload may be somewhere else.
    fn with(&self, request: RequestBuilder, pass: Option<&HeaderValue>) -> RequestBuilder {
        let Some(pass) = pass else { return request };
        let own = request.try_clone().and_then(|request| request.build().ok());
        let own = own.is_some_and(|request| self.url("").is_ok_and(|url| place(&url) == place(request.url())));
        if own { request.header(AUTHORIZATION, pass.clone()) } else { request }
    }

    /// What the registry wants to see: the login itself, or a token that another place gives out for it.
    async fn pass(&self, challenge: &str, actions: &str) -> Result<Option<HeaderValue>, FetchError> {
        let challenges = http_auth::parse_challenges(challenge)
            .map_err(|_| self.wrong("the registry wants a login in words that are not known"))?;
        let basic = || self.login.as_ref().and_then(|login| sensitive(&basic(login)));
        for one in &challenges {
            if one.scheme.eq_ignore_ascii_case("basic") {
                return Ok(basic());
            }
            if !one.scheme.eq_ignore_ascii_case("bearer") {
                continue;
            }
            let parameter = |name: &str| {
                let found = one.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            let realm = parameter("realm").and_then(|realm| Url::parse(&realm).ok());
            let Some(mut realm) = realm else {
                return Err(self.wrong("the registry does not say where its tokens come from"));
            };
            // An encrypted registry sends nobody's password over an unencrypted connection, not even within the machine.
            if realm.scheme() != "https" && self.url("")?.scheme() == "https" {
                return Err(self.wrong("the registry wants the login at a place that is not encrypted"));
            }
            let scope = format!("repository:{}:{actions}", self.reference.repository);
            realm.query_pairs_mut().append_pair("scope", &scope);
            if let Some(service) = parameter("service") {
                realm.query_pairs_mut().append_pair("service", &service);
            }
            let mut request = self.web.request(Method::GET, realm);
            if let Some(login) = basic() {
                request = request.header(AUTHORIZATION, login);
            }
            let response = self.web.send(request, self.plain).await?;
            if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(None);
            }
            if !response.status().is_success() {
                return Err(complaint(format!("the tokens of {}", self.reference.registry), response).await);
            }
            let what = format!("the token of {}", self.reference.registry);
            let bytes = body(what, response, TOKEN_MOST, &|_, _| ()).await?;
            let token: Token = serde_json::from_slice(&bytes).map_err(|_| self.wrong("the token is not one"))?;
            return Ok(token.token.or(token.access_token).and_then(|token| sensitive(&format!("Bearer {token}"))));
        }
        Err(self.wrong("the registry wants a login of a kind that is not known"))
    }
}

/// A manifest that is that of a component.
pub(super) struct Checked {
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn basic(login: &Login) -> String {
    use base64::Engine as _;
    let pair = format!("{}:{}", login.user, login.password.reveal());
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
