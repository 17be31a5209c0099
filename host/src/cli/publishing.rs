//! `plugin keygen`, `plugin publish`: for those who give plugins to others. The key and the registry's password are those of
//! whoever types, and never leave this process.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Context, Exit, Failure, author};
use crate::install::fetch::{Limits, Web, size};
use crate::install::login::Logins;
use crate::install::oci::{Published, Registry};
use crate::install::source::Source;
use crate::install::{SIGNATURE_ENDING, signature};
use crate::output::{Paint, plain};

/// `plugin keygen`: the secret key in a file of that name, the public one in the same with `.pub`.
pub fn keygen(context: &Context, file: &Path) -> Result<Exit, Failure> {
    let file = context.sources.started_in.join(file);
    let mut public_file = file.clone().into_os_string();
    public_file.push(".pub");
    let public_file = PathBuf::from(public_file);
    let (secret, public, key) = signature::generate().map_err(anyhow::Error::from)?;
    write_new(&file, &secret, 0o600)?;
    write_new(&public_file, &public, 0o644)?;
    let output = context.output;
    if output.json {
        let told = serde_json::json!({"id": key.id(), "key": key.text(), "secret": file, "public": public_file});
        output.json(&told)?;
    } else {
        output.line(&format!("The key {} is in {}; keep it secret, and keep a copy.", key.id(), file.display()))?;
        output.line(&format!("Who installs what it signs may want to compare: {}", key.text()))?;
    }
    Ok(Exit::Done)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.with_context(|| format!("cannot write {}, which is never overwritten", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// `plugin publish`.
pub async fn publish(
    context: &Context,
    file: &Path,
    to: Option<&str>,
    key: Option<&Path>,
    plain_http: bool,
) -> Result<Exit, Failure> {
    let output = context.output;
    let path = context.sources.started_in.join(file);
    let reference = match to.map(|to| Source::parse(to, Path::new("/"))) {
        None => None,
        Some(Ok(Source::Oci(reference))) if reference.digest.is_none() => Some(reference),
        Some(Ok(Source::Oci(_))) => {
            let why = "a plugin is published under a tag; its digest is what comes of it";
            return Err(Failure::new(Exit::Usage, why));
        }
        Some(Ok(_)) => {
            let why = "a plugin is published to a registry, like oci://ghcr.io/ann/weather:1.0; for a web server, sign \
                       the file without a registry and copy both files there";
            return Err(Failure::new(Exit::Usage, why));
        }
        Some(Err(error)) => return Err(Failure::new(Exit::Usage, error.to_string())),
    };
    if reference.is_none() && key.is_none() {
        return Err(Failure::new(Exit::Usage, "say where to publish it, or with --key that it is only to be signed"));
    }
    let report = author::looked_at(context, file).await?;
    let Some(plugin) = report.manifest.as_ref().filter(|_| report.good()) else {
        let what = report.faults.first().map_or_else(String::new, |fault| fault.what.clone());
        let why = format!("{} is not published: {what}; openpista-host plugin check {0}", file.display());
        return Err(Failure::new(Exit::Failed, why));
    };
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if crate::plugin::digest(&bytes) != report.digest {
        return Err(Failure::new(Exit::Failed, "the file changed meanwhile; try again"));
    }
    let signed = match key {
        None => None,
        Some(key) => {
            let key = context.sources.started_in.join(key);
            let secret =
                std::fs::read_to_string(&key).with_context(|| format!("cannot read the key {}", key.display()))?;
            let password = context.sources.environment.get(signature::PASSWORD).cloned();
            Some(signature::sign(&bytes, &secret, password).map_err(anyhow::Error::from)?)
        }
    };
    let signer = signed.as_ref().map(|(_, key)| key.id());
    let Some(reference) = reference else {
        let mut beside = path.clone().into_os_string();
        beside.push(SIGNATURE_ENDING);
        let beside = PathBuf::from(beside);
        if let Some((text, _)) = &signed {
            std::fs::write(&beside, text).with_context(|| format!("cannot write {}", beside.display()))?;
        }
        let told = serde_json::json!({"name": plugin.name, "version": plugin.version, "digest": report.digest, "signer": signer, "signature": beside});
        if output.json {
            output.json(&told)?;
        } else {
            let id = signer.unwrap_or_default();
            output
                .line(&format!("{} is the signature of the key {id}; it belongs beside the file.", beside.display()))?;
        }
        return Ok(Exit::Done);
    };
    let config = context.config()?;
    let logins = Logins::of_config(&config)?;
    // Nothing of them is in an error; should it be, it is cut out.
    context.known.learn("registries", logins.secrets()).map_err(anyhow::Error::from)?;
    let login = logins.of(&reference.registry).map_err(anyhow::Error::from)?;
    let web = Web::new(Limits::default()).map_err(anyhow::Error::from)?;
    let says = Published {
        name: &plugin.name,
        version: &plugin.version,
        description: &plugin.summary,
        signature: signed.as_ref().map(|(text, _)| text.as_str()),
        created: jiff::Timestamp::now().to_string(),
    };
    let length = size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    output.note(Paint::Faint, &format!("publishing {} {} ({length}) …", plain(&plugin.name), plain(&plugin.version)));
    let registry = Registry::new(&web, &reference, plain_http, login);
    let pushed = tokio::time::timeout(Limits::default().time, registry.push(&bytes, &says)).await;
    let manifest = pushed.context("it took too long and was given up")?.map_err(anyhow::Error::from)?;
    let pinned = reference.pinned_to(&manifest).to_string();
    if output.json {
        let told = serde_json::json!({
            "name": plugin.name, "version": plugin.version, "digest": report.digest,
            "manifest": manifest, "source": pinned, "signer": signer,
        });
        output.json(&told)?;
    } else {
        let by = signer.map_or_else(|| "not signed".to_owned(), |id| format!("signed by {id}"));
        output.line(&plain(&format!("{} {} is published, {by}. To pin it:", plugin.name, plugin.version)))?;
        output.line(&pinned)?;
    }
    Ok(Exit::Done)
}
