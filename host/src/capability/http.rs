//! `openpista:http`: the one way out.

/// The gate that all requests pass.
pub struct Egress {}

/// An answer whose body is still coming.
pub struct Incoming {}
use super::{Error, View};
use crate::wit::openpista::http::client::{Host, HostIncoming, Options};
use crate::wit::openpista::http::exchange;
use wasmtime::component::Resource;
impl exchange::Host for View<'_> {}
impl Host for View<'_> {
    async fn send(&mut self, _: exchange::Request, _: Option<Options>) -> wasmtime::Result<Result<Resource<Incoming>, Error>> { Ok(Err(Error::NotFound("none".into()))) }
}
impl HostIncoming for View<'_> {
    async fn status(&mut self, _: Resource<Incoming>) -> wasmtime::Result<u16> { Ok(0) }
    async fn headers(&mut self, _: Resource<Incoming>) -> wasmtime::Result<Vec<(String, String)>> { Ok(vec![]) }
    async fn read(&mut self, _: Resource<Incoming>) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> { Ok(Ok(None)) }
    async fn drop(&mut self, _: Resource<Incoming>) -> wasmtime::Result<()> { Ok(()) }
}
