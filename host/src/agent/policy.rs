//! Whether a tool call runs, asks or is refused: a pure function of the person's rules and what is known of the call.
//!
//! The implementer of [`super::ports::Approver`] gathers the facts and calls [`decide`]. What a tool says of itself can
//! only make the answer stricter.

use super::ports::Policy;
use crate::message::ToolHints;

/// The person's rules: a tool's name, or a pattern with `*`, and what holds for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<(String, Policy)>,
}

impl Rules {
    /// From config, in any order.
    pub fn new(rules: impl IntoIterator<Item = (String, Policy)>) -> Self {
        Self { rules: rules.into_iter().collect() }
    }

    /// The most specific rule that names the tool (the one with most literal characters); of equals, the strictest.
    pub fn find(&self, tool: &str) -> Option<Policy> {
        self.rules
            .iter()
            .filter(|(pattern, _)| matches(pattern, tool))
            .max_by_key(|(pattern, policy)| {
                let literal = pattern.chars().filter(|c| *c != '*').count();
                (!pattern.contains('*'), literal, strictness(*policy))
            })
            .map(|(_, policy)| *policy)
    }
}

fn strictness(policy: Policy) -> u8 {
    match policy {
        Policy::Allow => 0,
        Policy::Ask => 1,
        Policy::Deny => 2,
    }
}

/// `*` stands for any characters, none included.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(prefix) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let suffix = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = name.split_once(piece) else {
            return false;
        };
        name = after;
    }
    name.ends_with(suffix)
}

/// What is known of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Facts {
    /// The plugin was granted a capability that reaches out of its own memory: files, processes, network.
    pub powerful: bool,
    /// The tool's word about itself.
    pub hints: ToolHints,
    /// A person allowed the tool for the rest of the session.
    pub allowed_for_session: bool,
    /// The turn has taken in content that others wrote.
    pub untrusted: bool,
    /// The person switched off that untrusted content makes tools ask again.
    pub trust_content: bool,
}

/// Whether the call runs.
///
/// A rule of the person comes first. Without one, a tool of a plugin that computes only runs, all others ask. What is
/// allowed for the session runs, but asks again for a destructive or open-world tool once the turn has taken in
/// untrusted content: that content may be what wants the call.
pub fn decide(rules: &Rules, tool: &str, facts: Facts) -> Policy {
    let rule = rules.find(tool);
    if matches!(rule, Some(Policy::Deny | Policy::Allow)) {
        return rule.unwrap_or(Policy::Deny);
    }
    let risky = facts.hints.destructive || facts.hints.open_world;
    if facts.untrusted && risky && !facts.trust_content {
        return Policy::Ask;
    }
    if facts.allowed_for_session || (rule.is_none() && !facts.powerful) { Policy::Allow } else { Policy::Ask }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let hits: Vec<bool> = [
            ("*", ""),
            ("*", "system.run"),
            ("system.*", "system.run"),
            ("system.*", "systems.run"),
            ("*.run", "system.run"),
            ("*.run", "system.runner"),
            ("s*e*.r*n", "system.run"),
            ("a*a", "a"),
            ("web_*_page", "web_fetch_page"),
            ("system.run", "system.run"),
            ("system", "system.run"),
        ]
        .into_iter()
        .map(|(pattern, name)| matches(pattern, name))
        .collect();
        assert_eq!(hits, [true, true, true, false, true, false, true, false, true, true, false]);
    }

    #[test]
    fn the_most_specific_rule_wins_and_of_equals_the_strictest() {
        let rules = Rules::new([
            ("*".into(), Policy::Allow),
            ("system.*".into(), Policy::Deny),
            ("system.run".into(), Policy::Ask),
            ("web*fetch".into(), Policy::Allow),
            ("webfetch*".into(), Policy::Deny),
        ]);
        let found = ["system.run", "system.stop", "time", "webfetch"].map(|tool| rules.find(tool));
        assert_eq!(found, [Some(Policy::Ask), Some(Policy::Deny), Some(Policy::Allow), Some(Policy::Deny)]);
        assert_eq!(Rules::default().find("time"), None);
    }

    #[test]
    fn without_a_rule_only_what_has_no_power_runs_unasked_whatever_it_hints() {
        let harmless = ToolHints { read_only: true, idempotent: true, ..ToolHints::default() };
        let powerful = Facts { powerful: true, hints: harmless, ..Facts::default() };
        assert_eq!(decide(&Rules::default(), "t", powerful), Policy::Ask);
        assert_eq!(decide(&Rules::default(), "t", Facts::default()), Policy::Allow);
    }

    #[test]
    fn an_allowance_of_the_session_holds_until_untrusted_content_came_in() {
        let hints = ToolHints { open_world: true, ..ToolHints::default() };
        let facts = Facts { powerful: true, hints, allowed_for_session: true, ..Facts::default() };
        let untrusted = Facts { untrusted: true, ..facts };
        let calm = Facts { hints: ToolHints::default(), ..untrusted };
        let switched_off = Facts { trust_content: true, ..untrusted };
        let none = Rules::default();
        assert_eq!(
            [facts, untrusted, calm, switched_off].map(|facts| decide(&none, "t", facts)),
            [Policy::Allow, Policy::Ask, Policy::Allow, Policy::Allow]
        );
    }

    #[test]
    fn the_persons_word_stands_above_all() {
        let facts = Facts { powerful: true, untrusted: true, allowed_for_session: true, ..Facts::default() };
        for policy in [Policy::Allow, Policy::Deny] {
            assert_eq!(decide(&Rules::new([("t".into(), policy)]), "t", facts), policy);
        }
        let asking = Rules::new([("t".into(), Policy::Ask)]);
        assert_eq!(decide(&asking, "t", Facts::default()), Policy::Ask);
        assert_eq!(decide(&asking, "t", Facts { allowed_for_session: true, ..Facts::default() }), Policy::Allow);
    }
}
