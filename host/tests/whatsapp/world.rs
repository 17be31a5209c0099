//! Homes with the channel, and crabline's people.

use std::path::Path;

use serde_json::{Value, json};

use super::daemon::{Home, until};
use super::graph::{SECRET, TOKEN, VERIFY};
use super::messenger::model::Model;
use super::messenger::{self, crabline};
use super::skip::found;

/// The person who may write; another one who may; one who may not.
pub const ANN: &str = "15551110007";
pub const BEN: &str = "15551110008";
pub const STRANGER: &str = "15551110009";
/// A group.
pub const GROUP: &str = "120363000000000700@g.us";

/// Who may write.
pub fn allowed() -> String {
    format!("contacts = \"allow\"\nallow = [\"{ANN}\", \"{BEN}\"]\n")
}

fn home(model: &Model, agent: &str, rest: &str) -> Home {
    let channel = format!("[channels.whatsapp]\n{}{rest}\n", allowed());
    messenger::home::home(model, "channel-whatsapp", &channel, agent)
}

/// A home of which the model and the Cloud API are these. `agent` are further lines of `[agent]`.
pub fn with_cloud(model: &Model, api: &str, agent: &str) -> Home {
    let secrets = format!("token = \"{TOKEN}\", app-secret = \"{SECRET}\", verify-token = \"{VERIFY}\"");
    home(model, agent, &format!("secrets = {{ {secrets} }}\nsettings = {{ mode = \"cloud\", api = \"{api}\" }}"))
}

/// A home with this bridge. `settings` are further settings.
pub fn with_bridge(model: &Model, command: &str, settings: &str) -> Home {
    home(model, "", &format!("settings = {{ mode = \"bridge\", bridge = {command}{settings} }}"))
}

/// What the channel says of itself in `channel status`, once it is as wanted.
pub async fn status(home: &Home, wanted: impl Fn(&str) -> bool) -> String {
    messenger::home::status(home, "whatsapp", wanted).await
}

/// The jid of a person.
pub fn jid(person: &str) -> String {
    format!("{person}@s.whatsapp.net")
}

/// WhatsApp by crabline.
pub struct Crabline(crabline::Crabline);

impl Crabline {
    pub async fn start(folder: &Path) -> Result<Self, String> {
        let environment = [("CRABLINE_ACCESS_TOKEN", TOKEN)];
        Ok(Self(crabline::Crabline::start(folder, "whatsapp", &[], &environment).await?))
    }

    /// The address of the Cloud API.
    pub fn api(&self) -> String {
        self.0.endpoint("apiRoot")
    }

    /// What starts the real bridge to it, as a setting. The bridge's packages are those of the tests.
    pub fn bridge(&self, folder: &Path) -> Result<String, String> {
        let npm = found("OPENPISTA_NPM", "target/npm").ok_or("the npm packages are not there")?;
        let modules = npm.join("node_modules");
        if !modules.join("@whiskeysockets/baileys").exists() {
            return Err("the npm packages are not there".into());
        }
        let (from, to) = (
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../components/channel-whatsapp/bridge"),
            folder.join("bridge"),
        );
        std::fs::create_dir(&to).unwrap();
        for file in ["package.json", "bridge.mjs", "kept.mjs", "read.mjs"] {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
        std::os::unix::fs::symlink(modules.canonicalize().unwrap(), to.join("node_modules")).unwrap();
        let node = crabline::node()?;
        Ok(json!([node, to.join("bridge.mjs"), "--url", self.0.endpoint("baileysWebSocketUrl")]).to_string())
    }

    /// A message of a person.
    pub async fn says(&self, person: &str, chat: &str, text: &str) {
        self.inbound(&json!({"chatJid": chat, "senderJid": jid(person), "text": text})).await;
    }

    /// Something comes in.
    pub async fn inbound(&self, body: &Value) {
        self.0.inbound(&self.address(), "/_crabline/admin/whatsapp/inbound", body).await;
    }

    fn address(&self) -> String {
        self.0.manifest["baseUrl"].as_str().unwrap().to_string()
    }

    /// What a chat of WhatsApp Web was sent, in order: texts, with their ids.
    pub fn shown(&self, chat: &str) -> Vec<(String, String)> {
        let sent = self.0.recorded().into_iter().map(|line| line["body"].clone());
        sent.filter(|body| body["key"]["remoteJid"] == chat && body["key"]["fromMe"] == json!(true))
            .filter_map(|body| {
                Some((body["key"]["id"].as_str()?.to_string(), body["message"]["conversation"].as_str()?.to_string()))
            })
            .collect()
    }

    /// Waits until a chat of WhatsApp Web was sent this.
    pub async fn shows(&self, chat: &str, text: &str) {
        until(&format!("{text:?} in {chat}, among {:#?}", self.shown(chat)), async || {
            self.shown(chat).iter().any(|(_, shown)| shown.contains(text)).then_some(())
        })
        .await;
    }

    /// The frames of WhatsApp Web with this tag.
    pub fn frames(&self, tag: &str) -> Vec<Value> {
        let sent = self.0.recorded().into_iter().map(|line| line["body"].clone());
        sent.filter(|body| body["tag"] == tag).collect()
    }

    /// The bodies of all messages by the Cloud API, and whether each was accepted.
    pub fn posted(&self) -> Vec<(Value, bool)> {
        self.0.called("/messages")
    }
}
