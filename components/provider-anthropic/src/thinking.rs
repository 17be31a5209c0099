//! How hard to think, in the words of each model.

use serde_json::{Map, Value, json};

use crate::contract::exports::openpista::plugin::provider::Effort;
use crate::models::{Thinking, Traits};

/// Tokens of thinking for each effort, for models that want a number.
const BUDGETS: [(Effort, u32); 3] = [(Effort::Low, 2_048), (Effort::Medium, 8_192), (Effort::High, 32_000)];

/// The least budget that the service takes.
const BUDGET_LEAST: u32 = 1_024;

/// Writes `thinking` and `output_config`. `free`: the assistant's last turn has no call open, or began with thinking; a
/// model with a budget refuses to begin to think in the middle of a turn. Returns whether thinking was asked for: only
/// then is earlier thinking sent.
pub fn write(
    body: &mut Map<String, Value>,
    traits: &Traits,
    effort: Option<Effort>,
    max_tokens: u32,
    free: bool,
) -> bool {
    let mut level = effort.and_then(level);
    let mut kind = match (traits.thinking, effort) {
        (Thinking::No, _) => return false,
        (Thinking::Budget, effort) => {
            let budget = BUDGETS.iter().find(|(of, _)| Some(*of) == effort).map(|(_, tokens)| *tokens);
            // The budget is part of the answer's limit, and something has to be left for the answer.
            let budget = budget.map(|tokens| tokens.min(max_tokens.saturating_sub(BUDGET_LEAST)));
            let Some(budget) = budget.filter(|tokens| free && *tokens >= BUDGET_LEAST) else { return false };
            body.insert("thinking".into(), json!({"type": "enabled", "budget_tokens": budget}));
            return true;
        }
        (Thinking::Adaptive, Some(Effort::Off)) => return false,
        (Thinking::On, Some(Effort::Off)) => {
            body.insert("thinking".into(), json!({"type": "disabled"}));
            return false;
        }
        // What was thought before is then not sent, so there is nothing to say of what it is bound to.
        (Thinking::BetweenTools, Some(Effort::Off)) => {
            body.insert("thinking".into(), json!({"type": "between_tools"}));
            return false;
        }
        (Thinking::Always, Some(Effort::Off)) => {
            level = Some("low");
            json!({"type": "adaptive", "display": "summarized"})
        }
        _ => json!({"type": "adaptive", "display": "summarized"}),
    };
    if let Some(kind) = kind.as_object_mut().filter(|_| traits.bound) {
        // A conversation does not stay as it was for good: the time in the system prompt moves on, old images are left
        // out. Thinking that no longer counts is then left out by the service instead of being refused with all.
        kind.insert("block_binding".into(), json!({"prefix_mismatch_behavior": "drop_block"}));
    }
    body.insert("thinking".into(), kind);
    if let Some(level) = level {
        body.insert("output_config".into(), json!({"effort": level}));
    }
    true
}

fn level(effort: Effort) -> Option<&'static str> {
    match effort {
        Effort::Off => None,
        Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::traits;

    fn written(model: &str, effort: Option<Effort>) -> Value {
        let mut body = Map::new();
        write(&mut body, &traits(model), effort, 16_000, true);
        Value::Object(body)
    }

    #[test]
    fn each_model_is_told_in_its_own_words() {
        let adaptive = json!({"type": "adaptive", "display": "summarized"});
        let drop = json!({"prefix_mismatch_behavior": "drop_block"});
        let bound = json!({"type": "adaptive", "display": "summarized", "block_binding": drop});
        let table = [
            ("claude-opus-5-5", None, json!({"thinking": bound})),
            ("claude-opus-5-5", Some(Effort::High), json!({"thinking": bound, "output_config": {"effort": "high"}})),
            ("claude-opus-5-5", Some(Effort::Off), json!({"thinking": bound, "output_config": {"effort": "low"}})),
            ("claude-sonnet-5-5", Some(Effort::Off), json!({"thinking": {"type": "between_tools"}})),
            ("claude-haiku-5-5", Some(Effort::Off), json!({"thinking": {"type": "disabled"}})),
            ("claude-sonnet-5", Some(Effort::Low), json!({"thinking": adaptive, "output_config": {"effort": "low"}})),
            ("claude-opus-4-6", None, json!({"thinking": adaptive})),
            ("claude-opus-4-7", Some(Effort::Off), json!({})),
            ("claude-haiku-4-5", None, json!({})),
            ("claude-haiku-4-5", Some(Effort::Off), json!({})),
            ("claude-haiku-4-5", Some(Effort::Low), json!({"thinking": {"type": "enabled", "budget_tokens": 2_048}})),
            ("claude-haiku-4-5", Some(Effort::High), json!({"thinking": {"type": "enabled", "budget_tokens": 14_976}})),
            ("claude-3-haiku-20240307", Some(Effort::High), json!({})),
        ];
        for (model, effort, wanted) in table {
            assert_eq!(written(model, effort), wanted, "{model} {effort:?}");
        }
    }

    #[test]
    fn a_budget_fits_into_the_limit_or_there_is_none() {
        let budget = |max_tokens, free| {
            let mut body = Map::new();
            let thinks = write(&mut body, &traits("claude-haiku-4-5"), Some(Effort::Medium), max_tokens, free);
            (thinks, body.get("thinking").map(|thinking| thinking["budget_tokens"].clone()))
        };
        assert_eq!(budget(64_000, true), (true, Some(json!(8_192))));
        assert_eq!(budget(2_048, true), (true, Some(json!(1_024))));
        assert_eq!([budget(2_047, true), budget(64_000, false)], [(false, None), (false, None)]);
    }
}
