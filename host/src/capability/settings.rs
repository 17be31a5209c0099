//! `openpista:settings`: what the person wrote for this instance.

use super::View;
use crate::wit::openpista::settings::settings::Host;

impl Host for View<'_> {
    async fn get(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.settings.to_string())
    }

    async fn instance(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.caller.instance.clone())
    }
}
