//! What the channels of messengers share besides text: settings, names of files, and, as a macro, the manifest.

use serde_json::Value;

/// Commands that the host knows in every channel, as people see them in their menu.
pub const COMMANDS: [(&str, &str); 5] = [
    ("new", "Start a new session"),
    ("model", "Show or choose the model"),
    ("stop", "Stop what is running"),
    ("status", "Session, model, tokens"),
    ("help", "What there is"),
];

/// Which messages of a group are for the bot. (Those of somebody who is alone with it always are.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Those that are addressed to it.
    Mention,
    /// All.
    All,
    /// None.
    Off,
}

/// The setting `groups`.
pub fn groups(settings: &Value) -> Groups {
    match text(settings, "groups") {
        "all" => Groups::All,
        "off" => Groups::Off,
        _ => Groups::Mention,
    }
}

/// A setting that is a text; empty if it is not there.
pub fn text<'a>(settings: &'a Value, name: &str) -> &'a str {
    settings.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A setting that is an address, without a slash at the end; without it the vendor's own.
pub fn address(settings: &Value, name: &str, own: &str) -> String {
    match text(settings, name).trim_end_matches('/') {
        "" => own.to_string(),
        given => given.to_string(),
    }
}

/// The setting `stream`: replies are shown while they grow.
pub fn streams(settings: &Value, otherwise: bool) -> bool {
    settings.get("stream").and_then(Value::as_bool).unwrap_or(otherwise)
}

/// What a file is called that has no name.
pub fn file_name(name: Option<String>, mime: &str) -> String {
    name.unwrap_or_else(|| match mime.split_once('/') {
        Some(("image", kind)) => format!("image.{kind}"),
        _ => "file".to_string(),
    })
}

/// Seconds that a service asks to wait, in ms: rounded up, at least one, an hour at most.
pub fn pause(seconds: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within these bounds")]
    let ms = (seconds * 1_000.0).ceil().clamp(1.0, 3_600_000.0) as u32;
    ms
}

/// 16 characters that are others for other parts: 64 bits of FNV-1a. For messengers that know a message again by a key.
pub fn key(parts: &[&str]) -> String {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// One object with the fields of both.
pub fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

/// `need`, `secret`, `place` and `manifest` for the manifest of a messenger's channel. It has one preset of rank 0: whoever
/// finds the bot can write to it, so it runs only when a person asks for it. The component has `settings::SCHEMA`.
#[expect(clippy::crate_in_macro_def, reason = "the bindings are those of the crate that uses it")]
#[macro_export]
macro_rules! messenger_manifest {
    () => {
        use crate::contract::exports::openpista::plugin::manifest::{
            self, Manifest, Need, Place, Preset, Secret, SecretUse,
        };

        fn need(capability: &str, scope: &[&str], reason: &str, optional: bool) -> Need {
            let scope = scope.iter().map(|word| (*word).to_string()).collect();
            Need { capability: capability.into(), scope, reason: reason.into(), optional }
        }

        fn secret(name: &str, title: &str, uses: Vec<SecretUse>, optional: bool) -> Secret {
            Secret { name: name.into(), title: title.into(), uses, optional }
        }

        fn place(audience: &str, name: &str) -> Place {
            Place { audience: audience.into(), name: name.into() }
        }

        /// `environment`: variables that have the secrets of the preset.
        fn manifest(
            summary: &str,
            needs: Vec<Need>,
            secrets: Vec<Secret>,
            preset: [&str; 2],
            environment: &[(&str, &str)],
        ) -> Manifest {
            let [name, title] = preset;
            let environment =
                environment.iter().map(|(secret, variable)| ((*secret).into(), (*variable).into())).collect();
            let settings = "{}".into();
            let preset = Preset {
                name: name.into(),
                title: title.into(),
                settings,
                environment,
                probe: None,
                model: None,
                rank: 0,
            };
            Manifest {
                name: env!("CARGO_PKG_NAME").into(),
                version: env!("CARGO_PKG_VERSION").into(),
                summary: summary.into(),
                needs,
                secrets,
                settings: Some(crate::settings::SCHEMA.into()),
                presets: vec![preset],
                about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_have_their_defaults_and_addresses_no_slash_at_the_end() {
        let given = json!({"groups": "all", "api": "https://a.test/v1/", "stream": false});
        let of = |settings: &Value| {
            (groups(settings), address(settings, "api", "https://own.test"), streams(settings, true))
        };
        assert_eq!(of(&given), (Groups::All, "https://a.test/v1".into(), false));
        assert_eq!(of(&json!({})), (Groups::Mention, "https://own.test".into(), true));
        assert_eq!(groups(&json!({"groups": "off"})), Groups::Off);
    }

    #[test]
    fn pauses_have_bounds_and_keys_differ() {
        assert_eq!([0.0, 0.0004, 1.5, 1e9, f64::NAN].map(pause), [1, 1, 1_500, 3_600_000, 0]);
        assert_eq!(key(&["a", "b"]).len(), 16);
        assert_ne!(key(&["a", "b"]), key(&["ab", ""]));
    }

    #[test]
    fn a_file_without_a_name_gets_one_by_its_type() {
        let names = [(None, "image/png"), (None, "text/plain"), (Some("a.txt".to_string()), "text/plain")];
        assert_eq!(names.map(|(name, mime)| file_name(name, mime)), ["image.png", "file", "a.txt"]);
    }
}
