//! `openpista:secrets`: using a secret without having it.

/// The instance's secrets and this call's stand-ins for them.
#[derive(Default)]
pub struct CallSecrets {}

impl CallSecrets {
    /// The text with every secret of the instance cut out.
    pub fn redact(&self, text: &str) -> String {
        text.to_string()
    }

    /// `redact`, to keep beyond the call.
    pub fn redactor(&self) -> std::sync::Arc<dyn Fn(&str) -> String + Send + Sync> {
        std::sync::Arc::new(|text| text.to_string())
    }
}
use super::{Error, View};
use crate::wit::openpista::secrets::secrets::{Hash, Host};
impl Host for View<'_> {
    async fn stand_in(&mut self, _: String) -> wasmtime::Result<Result<String, Error>> { Ok(Err(Error::NotFound("none".into()))) }
    async fn verify(&mut self, _: String, _: Hash, _: Vec<u8>, _: Vec<u8>) -> wasmtime::Result<Result<bool, Error>> { Ok(Err(Error::NotFound("none".into()))) }
    async fn matches(&mut self, _: String, _: String) -> wasmtime::Result<Result<bool, Error>> { Ok(Err(Error::NotFound("none".into()))) }
    async fn mac(&mut self, _: String, _: Vec<Vec<u8>>) -> wasmtime::Result<Result<Vec<u8>, Error>> { Ok(Err(Error::NotFound("none".into()))) }
    async fn digest(&mut self, _: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, Error>> { Ok(Err(Error::NotFound("none".into()))) }
}
