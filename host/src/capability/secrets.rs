//! `openpista:secrets`: using a secret without having it.
//!
//! A guest writes a *stand-in* where a secret belongs; [`place`] puts the value in when the bytes leave, if the manifest
//! declares that place for that audience; [`redact`] cuts it out of what an audience sends back. Signatures are made
//! here, so that keys stay outside. [`InstanceSecrets`] is made once for an instance, [`CallSecrets`] for each call.
//! [`Known`] has the secrets of all instances, for what the host itself writes and passes on.

mod instance;
mod known;
pub mod place;
pub mod redact;
pub mod spelling;
mod value;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

pub use instance::{CallSecrets, InstanceSecrets};
pub use known::{Known, Named};
pub use redact::{Filter, Redactor, RedactorError};
pub use value::{Declared, SecretError, SecretValue, Use};

use super::{Error, View};
use crate::wit::openpista::secrets::secrets::{Hash, Host};

/// Of a message to sign, in bytes.
const MESSAGE_MAX: usize = 16 << 20;

impl Host for View<'_> {
    async fn stand_in(&mut self, name: String) -> wasmtime::Result<Result<String, Error>> {
        Ok(self.call.secrets.stand_in(&name))
    }

    async fn verify(
        &mut self,
        name: String,
        hash: Hash,
        message: Vec<u8>,
        mac: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let answer = self.call.secrets.instance().verify(&name, hash, &message, &mac);
        if answer != Ok(true) {
            self.note("secrets", format!("verify {name}"), String::new(), false);
        }
        Ok(answer)
    }

    async fn matches(&mut self, name: String, candidate: String) -> wasmtime::Result<Result<bool, Error>> {
        let answer = self.call.secrets.instance().matches(&name, &candidate);
        if answer != Ok(true) {
            self.note("secrets", format!("compare {name}"), String::new(), false);
        }
        Ok(answer)
    }

    async fn mac(&mut self, name: String, rounds: Vec<Vec<u8>>) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.call.secrets.instance().mac(&name, &rounds))
    }

    async fn fact(&mut self, name: String, claim: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        Ok(self.call.secrets.instance().fact(&name, &claim))
    }

    async fn digest(&mut self, data: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.call.secrets.fill_digest(data).map(|filled| Sha256::digest(&filled).to_vec()))
    }
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > MESSAGE_MAX {
        return Err(Error::TooLarge(format!("what is signed has at most {MESSAGE_MAX} bytes")));
    }
    Ok(())
}

/// An HMAC takes keys of any length, so this fails for none.
fn keyed<M: hmac::digest::KeyInit>(key: &[u8]) -> Result<M, Error> {
    M::new_from_slice(key).map_err(|error| Error::Other(format!("the key does not fit: {error}")))
}

impl InstanceSecrets {
    fn verify(&self, name: &str, hash: Hash, message: &[u8], mac: &[u8]) -> Result<bool, Error> {
        check_size(message.len())?;
        let (value, _) = self.for_use(name, "verify", |one| *one == Use::Verify)?;
        let key = value.expose().as_bytes();
        Ok(match hash {
            Hash::Sha256 => keyed::<Hmac<Sha256>>(key)?.chain_update(message).verify_slice(mac).is_ok(),
            Hash::Sha512 => keyed::<Hmac<Sha512>>(key)?.chain_update(message).verify_slice(mac).is_ok(),
            Hash::Sha1 => keyed::<Hmac<Sha1>>(key)?.chain_update(message).verify_slice(mac).is_ok(),
        })
    }

    fn mac(&self, name: &str, rounds: &[Vec<u8>]) -> Result<Vec<u8>, Error> {
        check_size(rounds.iter().map(Vec::len).sum())?;
        let asked = rounds.len();
        let fits = |one: &Use| matches!(one, Use::Mac { rounds, .. } if asked > 0 && usize::from(*rounds) == asked);
        let (value, declared) = self.for_use(name, &format!("a mac of {asked} rounds"), fits)?;
        let prefix = if let Use::Mac { prefix, .. } = declared { prefix.as_str() } else { "" };
        let mut key = Zeroizing::new(format!("{prefix}{}", value.expose()).into_bytes());
        for round in rounds {
            let next = keyed::<Hmac<Sha256>>(&key)?.chain_update(round).finalize().into_bytes();
            key = Zeroizing::new(next.to_vec());
        }
        Ok(key.to_vec())
    }
}

/// Of what is told of a token, in bytes.
const FACT_MAX: usize = 1 << 10;

impl InstanceSecrets {
    fn fact(&self, name: &str, claim: &str) -> Result<Option<String>, Error> {
        let (value, _) = self.for_use(name, &format!("the fact {claim}"), |one| *one == Use::Fact(claim.into()))?;
        Ok(claim_of(value.expose(), claim))
    }
}

/// A claim of a JSON Web Token (RFC 7519): header, payload and signature, each in base64url.
fn claim_of(token: &str, pointer: &str) -> Option<String> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let fact = match claims.pointer(pointer)? {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (fact.len() <= FACT_MAX).then_some(fact)
}

#[cfg(test)]
mod tests;
