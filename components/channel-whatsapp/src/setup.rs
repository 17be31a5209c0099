//! What an instance is made of, by its mode.

use crate::contract::exports::openpista::plugin::channel::{
    ChannelError, Preference, Process, Setup, Transport, TransportKind,
};
use crate::contract::openpista::types::types::Error;
use crate::host::Host;
use crate::settings::{Mode, Settings};

/// The secrets of the mode `cloud`.
const SECRETS: [&str; 3] = ["token", "app-secret", "verify-token"];

/// `channel.open`
pub fn open(host: &dyn Host, settings: &Settings) -> Result<Setup, ChannelError> {
    let transport = |id: &str, kind| vec![Transport { id: id.into(), kind }];
    if settings.mode == Mode::Bridge {
        let process = Process { command: settings.bridge.clone(), env: Vec::new() };
        // The sign of somebody who types goes out by itself after some seconds. There are no buttons that work everywhere.
        let mut preferences = vec![Preference::Working(8_000), Preference::InWords];
        if settings.stream {
            preferences.push(Preference::Drafts(3_000));
        }
        return Ok(Setup { transports: transport("bridge", TransportKind::Process(process)), preferences });
    }
    for name in SECRETS {
        // Any other error only says that a secret which is compared has no place to stand.
        if let Err(Error::NotFound(_)) = host.stand_in(name) {
            return Err(ChannelError::AuthRequired(format!("with mode = \"cloud\" it needs the secret {name}")));
        }
    }
    // The API takes its sign away after 25 seconds.
    let preferences = vec![Preference::Working(20_000)];
    Ok(Setup { transports: transport("hook", TransportKind::Http("/".into())), preferences })
}
