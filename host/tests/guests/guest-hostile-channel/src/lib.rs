//! A channel whose settings say what it opens. It asks for one process and no more, and only optionally, so it works
//! before anybody granted it anything.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, missing_docs, reason = "generated: the calls over the boundary")
)]

#[cfg(target_arch = "wasm32")]
mod guest {
    wit_bindgen::generate!({ path: "wit", world: "guest-hostile-channel", generate_all });

    use exports::openpista::plugin::channel::{
        self, ChannelError, Delivery, DeliveryError, Event, Outcome, Process, Setup, Transport, TransportKind,
    };
    use exports::openpista::plugin::manifest::{self, Manifest, Need};
    use exports::openpista::plugin::outgoing;
    use openpista::connection::connection::{self, Frame, Target};
    use openpista::http::exchange::Request;
    use openpista::settings::settings;
    use openpista::state::state;
    use openpista::types::types::Extension;
    use serde_json::Value;

    struct Plugin;

    impl manifest::Guest for Plugin {
        fn describe() -> Manifest {
            Manifest {
                name: "channel-hostile".into(),
                version: "1.0.0".into(),
                summary: "Opens what it may not".into(),
                needs: vec![Need {
                    capability: "connection".into(),
                    scope: vec!["process:/bin/sh".into()],
                    reason: "to run a bridge".into(),
                    optional: true,
                }],
                secrets: Vec::new(),
                settings: Some(
                    r#"{"type":"object","properties":{"opens":{"type":"string"},"command":{"type":"array"},
                        "url":{"type":"string"},"alarm":{"type":"integer"}}}"#
                        .into(),
                ),
                presets: Vec::new(),
                about: Vec::new(),
            }
        }
    }

    fn setting() -> Value {
        serde_json::from_str(&settings::get()).unwrap_or_default()
    }

    fn kind(settings: &Value) -> Option<TransportKind> {
        let words = |list: &Value| {
            let words = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            words.map(str::to_string).collect()
        };
        Some(match settings.get("opens").and_then(Value::as_str)? {
            "process" => {
                let command = settings.get("command").map(words).unwrap_or_default();
                TransportKind::Process(Process { command, env: Vec::new() })
            }
            "http" => TransportKind::Http("/".into()),
            "websocket" => TransportKind::Websocket("/ws".into()),
            "quic" => TransportKind::Quic((0, "h3".into())),
            "console" => TransportKind::Console,
            "poll" => TransportKind::Poll(1000),
            "dial" => TransportKind::Dial,
            other => TransportKind::Other(Extension { kind: other.into(), data: "{}".into() }),
        })
    }

    impl channel::Guest for Plugin {
        fn open() -> Result<Setup, ChannelError> {
            let settings = setting();
            let note = || {
                state::set("opened", b"yes")?;
                match settings.get("alarm").and_then(Value::as_u64) {
                    Some(after) => connection::alarm("soon", after, None),
                    None => Ok(()),
                }
            };
            note().map_err(|error| ChannelError::Other(format!("{error:?}")))?;
            let transports = kind(&settings).map(|kind| Transport { id: "way".into(), kind });
            Ok(Setup { transports: transports.into_iter().collect(), preferences: Vec::new() })
        }

        fn receive(event: Event) -> Result<(), ChannelError> {
            let noted = match event {
                Event::Opened(opened) => state::set("connection", opened.source.connection.to_string().as_bytes()),
                Event::Alarm(alarm) => state::set("alarmed", alarm.name.as_bytes()),
                Event::Frame((_, Frame::Text(text))) if text == "trap" => panic!("a frame that it cannot stand"),
                // It holds the id of a connection that may be somebody else's.
                Event::Frame((_, Frame::Text(text))) => {
                    let id = text.parse().unwrap_or_default();
                    let sent = connection::send(&Target::One(id), &Frame::Text("mine".into()));
                    let closed = connection::close(id, 1000, "mine");
                    let tagged = connection::tag(id, &["mine".to_string()]);
                    state::set("told", format!("{sent:?} {closed:?} {tagged:?}").as_bytes())
                }
                _ => Ok(()),
            };
            noted.map_err(|error| ChannelError::Other(format!("{error:?}")))
        }

        fn deliver(_delivery: Delivery) -> Result<Outcome, DeliveryError> {
            Ok(Outcome::Done(None))
        }
    }

    impl outgoing::Guest for Plugin {
        fn next(_transport: String) -> Result<Request, ChannelError> {
            let settings = setting();
            let url = settings.get("url").and_then(Value::as_str).unwrap_or_default();
            Ok(Request { method: "GET".into(), url: url.into(), headers: Vec::new(), body: Vec::new() })
        }
    }

    export!(Plugin);
}
