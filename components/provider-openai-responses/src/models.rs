//! The models on offer: what the service lists, completed with what `models.json` knows.

use openpista_plugin::models::{Model, Table, converses};
use serde_json::Value;

fn table() -> Table {
    Table::parse(include_str!("models.json"))
}

/// The answer of `GET /models` as models; none if it has no list.
pub fn parse(text: &str) -> Option<Vec<Model>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let table = table();
    let ids = value.get("data")?.as_array()?.iter().filter_map(|entry| entry.get("id").and_then(Value::as_str));
    let mut models: Vec<Model> = ids.filter(|id| converses(id)).map(|id| table.named(id)).collect();
    table.sort(&mut models);
    Some(models)
}

/// Those that are known without a list.
pub fn known() -> Vec<Model> {
    table().known()
}

/// A model of which only the id is known.
pub fn named(id: &str) -> Model {
    table().named(id)
}

/// Whether it thinks first: others refuse to be asked for it.
pub fn reasons(id: &str) -> bool {
    table().named(id).abilities.reasoning
}

/// What comes nearest to no reasoning at all.
pub fn least_effort(id: &str) -> String {
    table().text(id, "least-effort").unwrap_or("low").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_is_whole() {
        let table = table();
        assert!(table.entries().len() > 15);
        for entry in table.entries() {
            let id = entry["id"].as_str().unwrap();
            assert_eq!(reasons(id), entry.get("least-effort").is_some(), "{entry}");
        }
    }

    #[test]
    fn a_model_that_came_later_is_taken_for_one_that_reasons() {
        let asked = ["gpt-9-nova", "gpt-4o-mini-2024-07-18", "gpt-4-turbo", "another"].map(reasons);
        assert_eq!(asked, [true, false, false, false]);
        assert_eq!(["gpt-5-mini-2025-08-07", "gpt-6-sol", "gpt-9-nova"].map(least_effort), ["minimal", "none", "low"]);
    }

    #[test]
    fn the_list_is_completed_sorted_and_rid_of_what_takes_no_conversation() {
        let list = r#"{"object":"list","data":[{"id":"mystery"},{"id":"gpt-6-realtime"},{"id":"gpt-5"},
            {"id":"text-embedding-3-small"},{"id":"gpt-6.1-sol"}]}"#;
        let titles: Vec<String> = parse(list).unwrap().into_iter().map(|model| model.title).collect();
        assert_eq!(titles, ["GPT-6.1 Sol", "GPT-5", "mystery"]);
        assert_eq!((parse("<html>"), parse(r#"{"models":[]}"#)), (None, None));
    }
}
