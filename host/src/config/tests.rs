use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const FILE: &str = "/home/ann/.openpista/config.toml";

fn sources() -> Sources {
    Sources {
        home: PathBuf::from("/home/ann/.openpista"),
        file: None,
        environment: BTreeMap::new(),
        overrides: BTreeMap::new(),
        user_folder: PathBuf::from("/home/ann"),
        started_in: PathBuf::from("/home/ann/work"),
        at_terminal: true,
    }
}

fn with_environment(pairs: &[(&str, &str)]) -> Sources {
    let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { environment, ..sources() }
}

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new(FILE), &sources()).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    problems_with(text, &sources())
}

fn problems_with(text: &str, sources: &Sources) -> Vec<String> {
    match Config::parse(text, Path::new(FILE), sources) {
        Err(ConfigError::Wrong(problems)) => problems.iter().map(Problem::to_string).collect(),
        other => panic!("expected problems, got {other:?}"),
    }
}

fn origin_of(config: &Config, key: &str) -> Origin {
    config.settings.iter().find(|setting| setting.key == key).unwrap().origin.clone()
}

/// The example with the `#` of every option taken away: prose has a space after its `#`, options have none.
fn example_with_everything() -> String {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config.toml")).unwrap();
    let lines = example.lines().map(|line| match line.strip_prefix('#') {
        Some(option) if !option.is_empty() && !option.starts_with(' ') => option,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_as_it_is_changes_nothing() {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config.toml")).unwrap();
    let config = parse(&example);
    let changed: Vec<_> = config
        .settings
        .iter()
        .filter(|setting| setting.value != setting.default)
        .map(|setting| setting.key.as_str())
        .collect();
    assert_eq!(changed, Vec::<&str>::new());
    assert_eq!(config.agent, parse("").agent);
}

#[test]
fn the_example_has_every_key_and_shows_its_true_default() {
    let text = example_with_everything().replace("system_prompt_file = \"instructions.md\"", "");
    let config = parse(&text);
    let unset_by_place = ["agent.workspace", "store.path", "log.file", "plugins.dir", "policy.tools"];
    for setting in &config.settings {
        if setting.key == "agent.system_prompt_file" {
            continue;
        }
        assert!(
            matches!(setting.origin, Origin::File { .. }),
            "{} is known to the code and not in config.toml ({:?})",
            setting.key,
            setting.origin
        );
        let instance = ["providers.", "channels.", "tools.", "plugins.weather.", "registries."]
            .iter()
            .any(|start| setting.key.starts_with(start));
        if !instance && !setting.default.is_null() && !unset_by_place.contains(&setting.key.as_str()) {
            assert_eq!(setting.value, setting.default, "config.toml shows another default of {}", setting.key);
        }
    }
    assert!(example_with_everything().contains("\nsystem_prompt_file = "));
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    assert_eq!(
        problems("[agent]\nmodel = \"auto\"\nmax_tool_round = 3\n"),
        [format!("{FILE}:3: unknown key `max_tool_round` in [agent]; did you mean `max_tool_rounds`?")]
    );
}

#[test]
fn an_unknown_section_is_refused_with_the_nearest_name() {
    assert_eq!(
        problems("[provider.a]\nplugin = \"x\"\n"),
        [format!("{FILE}:1: unknown section [provider]; did you mean `providers`?")]
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    let found = problems(
        "[agent]\nmax_tool_rounds = \"many\"\nturn_timeout = \"2 fortnights\"\n[channels.web]\nprot = 1\n\
         contacts = \"all\"\n[policy]\ndefault = \"maybe\"\n",
    );
    let places: Vec<_> = found.iter().map(|text| text.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(places, [6, 5, 2, 3, 8].map(|line| format!("{FILE}:{line}:")), "{found:#?}");
}

#[test]
fn a_wrong_sign_is_reported_with_its_line() {
    let found = problems("[agent]\nmodel = \n");
    assert!(found[0].starts_with(&format!("{FILE}:2: ")), "{found:?}");
}

#[test]
fn the_environment_is_stronger_than_the_file_and_the_command_line_is_stronger_than_both() {
    let mut sources = with_environment(&[("OPENPISTA_AGENT_MAX_TOOL_ROUNDS", "7"), ("OPENPISTA_MODEL", "demo/calm")]);
    let text = "[agent]\nmax_tool_rounds = 3\nmodel = \"other/x\"\neffort = \"low\"\n";
    let config = Config::parse(text, Path::new(FILE), &sources).unwrap();
    assert_eq!(config.agent.max_tool_rounds, 7);
    assert_eq!(config.agent.effort, Some(Effort::Low));
    assert_eq!(config.agent.model, Some(ModelName { instance: "demo".to_owned(), model: Some("calm".to_owned()) }));
    assert_eq!(origin_of(&config, "agent.model"), Origin::Environment { variable: "OPENPISTA_MODEL".to_owned() });
    assert_eq!(origin_of(&config, "agent.effort"), Origin::File { line: 4 });
    assert_eq!(origin_of(&config, "agent.turn_timeout"), Origin::Default);

    sources.overrides.insert("agent.model".to_owned(), "third".to_owned());
    let config = Config::parse(text, Path::new(FILE), &sources).unwrap();
    assert_eq!(config.agent.model, Some(ModelName { instance: "third".to_owned(), model: None }));
    assert_eq!(origin_of(&config, "agent.model"), Origin::CommandLine);
}

#[test]
fn the_older_spellings_of_variables_hold() {
    let sources = with_environment(&[
        ("openpista_WEB_PORT", "4000"),
        ("openpista_WEB_TOKEN", "letmein"),
        ("openpista_WORKSPACE", "~/notes"),
    ]);
    let config = Config::parse("", Path::new(FILE), &sources).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:4000");
    assert_eq!(config.server.token, Some(SecretSource::Inline(Secret::new("letmein"))));
    assert_eq!(config.channels["web"].secrets["web-token"], SecretSource::Inline(Secret::new("letmein")));
    assert_eq!(config.agent.workspace, PathBuf::from("/home/ann/notes"));
    assert_eq!(config.warnings, []);
}

#[test]
fn a_misspelt_variable_is_warned_about() {
    let config =
        Config::parse("", Path::new(FILE), &with_environment(&[("OPENPISTA_AGENT_MAX_TOOL_ROUND", "1")])).unwrap();
    assert_eq!(
        config.warnings.iter().map(Problem::to_string).collect::<Vec<_>>(),
        ["environment variable OPENPISTA_AGENT_MAX_TOOL_ROUND: is not known and not used; did you mean \
          `OPENPISTA_AGENT_MAX_TOOL_ROUNDS`?"]
    );
}

#[test]
fn the_older_keys_of_a_channel_reach_the_server_and_its_settings() {
    let config = parse(
        "[channels.web]\nport = 8080\ntoken = \"t\"\ncors_origins = [\"https://a.example\"]\nstatic_dir = \"pages\"\n\
         [channels.chat]\nenabled = false\nsession_dir = \"~/s\"\nbridge_path = \"/opt/b\"\n",
    );
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.cors_origins, ["https://a.example"]);
    assert_eq!(config.channels["web"].secrets["web-token"], SecretSource::Inline(Secret::new("t")));
    assert_eq!(
        Value::Object(config.channels["web"].settings.clone()),
        json!({"static_dir": "/home/ann/.openpista/pages"})
    );
    assert_eq!(
        Value::Object(config.channels["chat"].settings.clone()),
        json!({"session_dir": "/home/ann/s", "bridge_path": "/opt/b"})
    );
    assert_eq!((config.channels["chat"].plugin.clone(), config.channels["chat"].enabled), (None, false));
    assert_eq!(origin_of(&config, "server.listen"), Origin::File { line: 2 });
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let found = problems("[server]\nlisten = \"0.0.0.0:3210\"\n");
    assert_eq!(
        found,
        [format!(
            "{FILE}:2: listening on 0.0.0.0:3210 lets others in, so it needs a token: set `token` in [server] or \
             OPENPISTA_WEB_TOKEN, or listen on 127.0.0.1"
        )]
    );
    assert_eq!(parse("[server]\nlisten = \"0.0.0.0:1\"\ntoken = \"t\"\n").server.listen.port(), 1);
    assert_eq!(
        parse("[server]\nlisten = \"0.0.0.0:1\"\n[channels.web]\nsecrets = { web-token = \"t\" }\n").server.token,
        Some(SecretSource::Inline(Secret::new("t")))
    );
}

#[test]
fn an_empty_token_is_refused_instead_of_switching_the_check_off() {
    let found = problems("[server]\nlisten = \"0.0.0.0:3210\"\ntoken = \"\"\n");
    assert_eq!(found.len(), 2, "{found:?}");
    let found = problems_with("", &with_environment(&[("OPENPISTA_WEB_TOKEN", "")]));
    assert_eq!(
        found,
        [
            "environment variable OPENPISTA_WEB_TOKEN: `token` in [server]: an empty text is no secret; leave the key out \
          to have none"
        ]
    );
}

#[test]
fn secrets_are_never_shown() {
    let config = parse("[providers.a]\nsecrets = { key = \"hidden\", other = { env = \"KEY\" } }\n");
    let shown = format!("{config:?} {}", serde_json::to_string(&config.settings).unwrap());
    assert!(!shown.contains("hidden"), "{shown}");
    let secrets = config.settings.iter().find(|setting| setting.key == "providers.a.secrets").unwrap();
    assert_eq!(secrets.value, json!({"key": "[set]", "other": "[$KEY]"}));
}

#[test]
fn a_secret_of_the_wrong_shape_is_refused_without_showing_it() {
    let found = problems("[providers.a]\nsecrets = { key = { envv = \"hidden\" } }\n");
    assert_eq!(found, [format!("{FILE}:2: secret `key`: write a text, {{ env = \"NAME\" }} or {{ file = \"path\" }}")]);
}

#[test]
fn secrets_are_read_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "from a file\n").unwrap();
    let environment = BTreeMap::from([("KEY".to_owned(), "from a variable".to_owned())]);
    let read =
        |source: SecretSource| source.read(&environment).map(|s| s.reveal().to_owned()).map_err(|e| e.to_string());
    assert_eq!(read(SecretSource::File(path)), Ok("from a file".to_owned()));
    assert_eq!(read(SecretSource::Environment("KEY".to_owned())), Ok("from a variable".to_owned()));
    assert_eq!(
        read(SecretSource::Environment("NONE".to_owned())),
        Err("the environment variable NONE is not set".to_owned())
    );
}

#[test]
fn an_instance_has_its_own_settings_grants_and_limits() {
    let config = parse(
        "[providers.together]\nplugin = \"provider-chat\"\nsettings = { base-url = \"https://x.example\", n = [1, 2.5] }\n\
         grants = { http = [\"x.example\"] }\n[providers.together.limits]\nmemory = \"128MB\"\nrunning = \"1m\"\n",
    );
    assert_eq!(
        config.providers["together"],
        Instance {
            name: "together".to_owned(),
            plugin: Some("provider-chat".to_owned()),
            enabled: true,
            settings: json!({"base-url": "https://x.example", "n": [1, 2.5]}).as_object().unwrap().clone(),
            secrets: BTreeMap::new(),
            grants: BTreeMap::from([("http".to_owned(), vec!["x.example".to_owned()])]),
            limits: LimitWishes {
                memory: Some(128 << 20),
                running: Some(Duration::from_secs(60)),
                ..LimitWishes::default()
            },
            mount: None,
            contacts: None,
            allow: vec![],
        }
    );
}

#[test]
fn a_wish_above_the_ceiling_is_a_mistake_that_names_both_values() {
    assert_eq!(
        problems("[tools.a]\nlimits = { memory = \"2GB\", live_calls = 5 }\n"),
        [format!(
            "{FILE}:2: `memory` in [tools.a.limits]: 2GB is more than the ceiling of 1GB; ask for less, or raise `memory` \
             in [limits.most]"
        )]
    );
    let raised = parse("[limits.most]\nmemory = \"2GB\"\n[tools.a]\nlimits = { memory = \"2GB\", live_calls = 5 }\n");
    let limits = raised.limits.with(&raised.tools["a"].limits);
    assert_eq!(limits, Limits { memory: 2 << 30, live_calls: 5, ..Limits::default() });
    assert_eq!(
        problems("[limits]\nrunning = \"2m\"\n[limits.most]\nrunning = \"1m\"\n"),
        [format!(
            "{FILE}:3: `running` in [limits]: 2m is more than the ceiling of 1m; ask for less, or raise `running` in \
             [limits.most]"
        )]
    );
}

#[test]
fn keys_of_a_channel_are_unknown_to_a_provider() {
    assert_eq!(
        problems("[providers.a]\ncontacts = \"open\"\n"),
        [format!(
            "{FILE}:2: unknown key `contacts` in [providers.a]; there are: enabled, grants, limits, plugin, secrets, \
             settings"
        )]
    );
}

#[test]
fn the_most_exact_pattern_decides_about_a_tool() {
    let policy = parse(
        "[policy.tools]\n\"*\" = \"ask\"\n\"files.*\" = \"deny\"\n\"files.read*\" = \"allow\"\n\"files.read_all\" = \"ask\"\n",
    )
    .policy;
    let said: Vec<_> =
        ["system.run", "files.write", "files.read", "files.read_all"].map(|tool| policy.named(tool)).to_vec();
    assert_eq!(said, [Verdict::Ask, Verdict::Deny, Verdict::Allow, Verdict::Ask].map(Some));
    assert_eq!(parse("").policy.named("system.run"), None);
}

#[test]
fn a_tool_without_quotes_is_explained() {
    assert_eq!(
        problems("[policy.tools]\nsystem.run = \"allow\"\n"),
        [format!("{FILE}:2: put the tool's name in quotes: \"system.…\" = \"ask\"")]
    );
}

#[test]
fn the_workspace_is_where_a_person_started_it_else_their_own_folder() {
    assert_eq!(parse("").agent.workspace, PathBuf::from("/home/ann/work"));
    let service = Sources { at_terminal: false, ..sources() };
    let config = Config::parse("", Path::new(FILE), &service).unwrap();
    assert_eq!(config.agent.workspace, PathBuf::from("/home/ann"));
    let from_variable =
        Sources { environment: with_environment(&[("OPENPISTA_WORKSPACE", "here")]).environment, ..sources() };
    let config = Config::parse("", Path::new(FILE), &from_variable).unwrap();
    assert_eq!(config.agent.workspace, PathBuf::from("/home/ann/work/here"));
}

#[test]
fn durations_and_sizes_are_read_as_people_write_them() {
    let read = |text: &str| scalar::duration(&Value::from(text)).map(scalar::show_duration).map_err(|_| ());
    assert_eq!(
        ["90s", "120", "2m", "1h30m", "1m 30s", "500ms", "", "s", "5", "3x", "-1s", "99999999999999999999s"].map(read),
        [
            Ok("90s".to_owned()),
            Ok("2m".to_owned()),
            Ok("2m".to_owned()),
            Ok("90m".to_owned()),
            Ok("90s".to_owned()),
            Ok("500ms".to_owned()),
            Err(()),
            Err(()),
            Ok("5s".to_owned()),
            Err(()),
            Err(()),
            Err(()),
        ]
    );
    let read = |text: &str| scalar::size(&Value::from(text)).map(scalar::show_size).map_err(|_| ());
    assert_eq!(
        ["64MB", "64 mb", "1024", "1GiB", "7", "12XB", "", "99999999999GB"].map(read),
        [
            Ok("64MB".to_owned()),
            Ok("64MB".to_owned()),
            Ok("1KB".to_owned()),
            Ok("1GB".to_owned()),
            Ok("7".to_owned()),
            Err(()),
            Err(()),
            Err(()),
        ]
    );
}

#[test]
fn a_file_that_was_named_must_exist_and_the_usual_one_need_not() {
    let folder = tempfile::tempdir().unwrap();
    let usual = Sources { home: folder.path().to_owned(), ..sources() };
    assert!(!Config::load(&usual).unwrap().file_exists);
    let named = Sources { file: Some(folder.path().join("mine.toml")), ..usual };
    assert!(matches!(Config::load(&named), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn secrets_in_a_file_that_others_can_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, "[server]\ntoken = \"secret\"\n").unwrap();
    let sources = Sources { home: folder.path().to_owned(), ..sources() };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let shown = path.display();
    assert_eq!(
        Config::load(&sources).unwrap().warnings.iter().map(Problem::to_string).collect::<Vec<_>>(),
        [format!("{shown}: holds secrets and others can read it; run: chmod 600 {shown}")]
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Config::load(&sources).unwrap().warnings, []);
}
