//! The store as its users see it, on real files.

mod commit;
mod crash;
mod damage;
mod formats;
mod queues;
mod records;

use tempfile::TempDir;

use super::*;
use crate::message::{Body, Message, Role, Sender};

/// A store in a folder of its own.
pub(super) fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(file_in(&folder), Options::default()).unwrap();
    (folder, store)
}

pub(super) fn file_in(folder: &TempDir) -> PathBuf {
    folder.path().join("home").join("store.redb")
}

/// Waits for a write on a thread without a runtime.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(super) fn write<T: Send + 'static>(
    store: &Store,
    change: impl FnMut(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    wait(store.write(change))
}

pub(super) fn ann() -> Sender {
    Sender { id: "u1".into(), name: "Ann".into() }
}

pub(super) fn said(text: impl Into<String>, at: u64) -> Message {
    Message { role: Role::User, parts: vec![Body::Text(text.into()).into()], at, turn: None, model: None, usage: None }
}

pub(super) fn texts(store: &Store, session: &str) -> Vec<String> {
    let all = store.read(|tx| tx.messages(session, 0, usize::MAX)).unwrap();
    all.into_iter().map(|stored| stored.message.text()).collect()
}

/// A session with a fixed id.
pub(super) fn session(id: &str, conversation: &str, at: u64) -> Session {
    Session { id: id.into(), ..Session::new("web", conversation, ann(), at) }
}
