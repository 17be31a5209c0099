//! A small plugin against the mock host.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::http::{get, post};
use super::*;

#[derive(Deserialize, JsonSchema)]
struct Settings {
    /// Where the weather is asked for.
    #[serde(rename = "base-url", default = "base_url")]
    base_url: String,
}

fn base_url() -> String {
    "https://api.example.com".into()
}

#[derive(Deserialize, JsonSchema)]
struct Place {
    /// The town.
    place: String,
    #[serde(default)]
    days: Option<u8>,
}

#[derive(Deserialize)]
struct Weather {
    sky: String,
}

struct Now;

impl Tool for Now {
    const NAME: &'static str = "weather.now";
    const DESCRIPTION: &'static str = "The weather of a place.";
    const HINTS: ToolHints = ToolHints::READ_ONLY;
    type Arguments = Place;

    fn call(arguments: Place, host: &impl Host) -> Result<Answer, ToolError> {
        let settings: Settings = settings(host)?;
        let key = host.stand_in("api-key")?;
        let url = format!("{}/now", settings.base_url);
        let weather: Weather = get(url).query("place", &arguments.place).bearer(&key).send(host)?.good()?.json()?;
        host.set("last", arguments.place.as_bytes())?;
        let days = arguments.days.map(|days| format!(" for {days} days")).unwrap_or_default();
        Ok(format!("{}: {}{days}", arguments.place, weather.sky).into())
    }
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

struct Stream;

impl Tool for Stream {
    const NAME: &'static str = "weather.stream";
    const DESCRIPTION: &'static str = "The weather as it changes.";
    type Arguments = Nothing;

    fn call(_: Nothing, host: &impl Host) -> Result<Answer, ToolError> {
        let answer = post("https://api.example.com/stream").json(&json!({"all": true})).send(host)?;
        let mut all = Vec::new();
        for event in answer.events() {
            let event = event?;
            if host.report(&event.data) == Signal::Stop {
                return Err(ToolError::Cancelled);
            }
            all.push(event.data);
        }
        Ok(all.join(", ").into())
    }
}

fn about() -> About {
    About::new("weather", "1.0.0", "The weather")
        .needs("http", ["{base-url}"], "asks for the weather")
        .secret(Secret::new("api-key", "From the service's page").header("{base-url}", "authorization"))
        .settings::<Settings>()
}

crate::export_tools!(about(), [Now, Stream]);

const TOOLS: &[Offered<Mock>] = &[Offered::of::<Now>(), Offered::of::<Stream>()];

fn called(name: &str, arguments: &str, host: &Mock) -> Result<Vec<Content>, ToolError> {
    answer(TOOLS, name, arguments, host).map(|answer| answer.0)
}

fn text(text: &str) -> Result<Vec<Content>, ToolError> {
    Ok(vec![Content::Text(text.into())])
}

#[test]
fn a_schema_is_made_of_the_type_with_its_comments_and_without_references() {
    let definition = definitions(TOOLS).remove(0);
    let parameters: serde_json::Value = serde_json::from_str(&definition.parameters).unwrap();
    assert_eq!((parameters["type"].as_str(), &parameters["required"]), (Some("object"), &json!(["place"])));
    assert_eq!(parameters["properties"]["place"], json!({"type": "string", "description": "The town."}));
    assert!(parameters.get("$schema").is_none() && parameters.get("title").is_none());
    assert_eq!(definition.hints, ToolHints::READ_ONLY);
    assert_eq!(schema::<Nothing>(), json!({"type": "object", "properties": {}}));
}

#[test]
fn the_manifest_says_what_was_said() {
    let manifest = about().manifest();
    assert_eq!(
        (manifest.name.as_str(), manifest.needs[0].scope.as_slice()),
        ("weather", &["{base-url}".to_string()][..])
    );
    let settings: serde_json::Value = serde_json::from_str(&manifest.settings.unwrap()).unwrap();
    assert_eq!(settings["properties"]["base-url"]["default"], "https://api.example.com");
    assert_eq!(manifest.secrets[0].uses.len(), 1);
}

#[test]
fn a_call_sees_its_settings_and_its_secret_stands_where_it_belongs() {
    let host = Mock::new()
        .setting("base-url", "http://localhost:9")
        .secret("api-key")
        .answers(Answers::json(&json!({"sky": "blue"})));
    assert_eq!(called("weather.now", r#"{"place":"Bad Ems","days":2}"#, &host), text("Bad Ems: blue for 2 days"));
    let asked = host.asked.borrow();
    assert_eq!(asked[0].url, "http://localhost:9/now?place=Bad%20Ems");
    assert_eq!(asked[0].headers, [("authorization".to_string(), "Bearer <api-key>".to_string())]);
    assert_eq!(host.state.borrow()["last"], b"Bad Ems");
}

#[test]
fn what_goes_wrong_is_told_to_the_model() {
    let place = r#"{"place":"Ems"}"#;
    let no_secret = called("weather.now", place, &Mock::new());
    assert_eq!(no_secret, Err(ToolError::Other("the secret api-key has no value".into())));
    let refused = Mock::new().secret("api-key").answers(Answers::new(500, "out of order"));
    assert_eq!(called("weather.now", place, &refused), Err(ToolError::Other("status 500: out of order".into())));
    let denied = Mock::new().secret("api-key").fails(Error::AccessDenied("allow it".into()));
    assert_eq!(called("weather.now", place, &denied), Err(ToolError::AccessDenied("allow it".into())));
    let broken = called("weather.now", "{}", &Mock::new());
    assert!(matches!(broken, Err(ToolError::InvalidArguments(why)) if why.contains("place")));
    let unknown = called("weather.then", "{}", &Mock::new());
    assert!(matches!(unknown, Err(ToolError::InvalidArguments(why)) if why.contains("weather.now")));
}

#[test]
fn events_come_as_they_are_and_the_person_can_stop_them() {
    let stream = || Answers::pieces(["data: su", "n\n\ndata: rain\n", "\n"]);
    let host = Mock::new().answers(stream());
    assert_eq!(called("weather.stream", "{}", &host), text("sun, rain"));
    assert_eq!(*host.reported.borrow(), ["sun", "rain"]);
    assert_eq!(host.asked.borrow()[0].body, br#"{"all":true}"#);
    let stopped = Mock::new().answers(stream()).stopped();
    assert_eq!(called("weather.stream", "{}", &stopped), Err(ToolError::Cancelled));
    let broken = Mock::new().answers(stream().then(Error::TimedOut));
    assert_eq!(called("weather.stream", "{}", &broken), Err(ToolError::TimedOut));
}

#[test]
fn the_mock_keeps_state_in_order_and_plays_commands() {
    let host = Mock::new().runs("hi\n", 0);
    for key in ["a/2", "a/1", "b"] {
        host.set(key, b"x").unwrap();
    }
    assert_eq!(host.keys("a/", None).unwrap(), ["a/1", "a/2"]);
    assert_eq!(host.keys("a/", Some("a/1")).unwrap(), ["a/2"]);
    host.remove("b").unwrap();
    assert_eq!(host.get("b").unwrap(), None);
    assert!(host.set(&"k".repeat(257), b"").is_err());
    use super::bindings::capabilities::openpista::shell::shell::{Command, Spec};
    use super::bindings::capabilities::openpista::types::types::Output;
    let command = Command::Script("echo hi".into());
    let spec = Spec { command, dir: None, env: vec![], stdin: vec![], timeout_ms: None };
    let process = host.run(&spec).unwrap();
    assert_eq!(process.next().unwrap(), Some(Output::Stdout(b"hi\n".to_vec())));
    assert_eq!(process.next().unwrap(), Some(Output::Exited(0)));
    assert_eq!(process.next().unwrap(), None);
    assert!(host.run(&spec).is_err());
}

#[cfg(feature = "provider")]
mod provider {
    use crate::sdk::bindings::provider::exports::openpista::plugin::provider::*;
    use crate::sdk::bindings::provider::openpista::plugin::deltas::Delta;
    use crate::sdk::{About, Deltas, Error, Host, Mock, Provider, Pushed, Usage};

    struct Echo;

    impl Provider for Echo {
        fn models(_: &impl Host) -> Result<Vec<Model>, ProviderError> {
            Ok(Vec::new())
        }

        fn complete(request: Request, out: &dyn Deltas, host: &impl Host) -> Result<Completion, ProviderError> {
            host.stand_in("key").map_err(|error| match error {
                Error::NotFound(why) => ProviderError::AuthRequired(why),
                error => error.into(),
            })?;
            out.push(Delta::Text(request.system.clone()));
            let part = Part { body: Body::Text(request.system), replay: None };
            let usage = Usage { input: 0, output: 0, cache_read: 0, cache_write: 0, cost: None };
            Ok(Completion { parts: vec![part], stop: Stop::End, usage, model: None })
        }
    }

    crate::export_provider!(About::new("echo", "1.0.0", "Echoes"), Echo);

    #[test]
    fn a_provider_pushes_what_it_says_and_asks_for_its_key() {
        let request = Request {
            model: "echo".into(),
            system: "hello".into(),
            messages: vec![],
            tools: vec![],
            choice: ToolChoice::Auto,
            max_tokens: None,
            effort: None,
            cache_key: String::new(),
            options: vec![],
        };
        let pushed = Pushed::default();
        let unset = Echo::complete(request.clone(), &pushed, &Mock::new());
        assert_eq!(unset, Err(ProviderError::AuthRequired("the secret key has no value".into())));
        let done = Echo::complete(request, &pushed, &Mock::new().secret("key")).unwrap();
        assert_eq!((done.stop, pushed.0.borrow().as_slice()), (Stop::End, &[Delta::Text("hello".into())][..]));
    }
}
