//! Names of tools as the APIs of models want them, `^[a-zA-Z0-9_-]{1,64}$`, and back.
//!
//! The contract allows points and 128 bytes (`browser.click`). Each name gets one that is legal and that no other has;
//! a name that is legal already keeps itself, whatever else is there. Ids of calls have the same letters and length in
//! these APIs, so those of another provider are made legal in the same way.

use std::collections::{HashMap, HashSet};

/// The longest name that is legal everywhere.
const LONGEST: usize = 64;

/// Both directions, for one request.
#[derive(Clone, Debug, Default)]
pub struct ToolNames {
    legal: HashMap<String, String>,
    own: HashMap<String, String>,
}

impl ToolNames {
    /// For these names; one that comes twice is the same tool. The result does not depend on anything else, so a
    /// session's requests, and with them the provider's cache, stay alike.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut seen = HashSet::new();
        let names: Vec<&str> = names.into_iter().filter(|name| seen.insert(*name)).collect();
        let mut map = Self::default();
        let (keep, change): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| is_legal(name));
        for name in keep {
            map.insert(name, name.into());
        }
        for name in change {
            let wanted = legal(name);
            let mut number = 1u32;
            let mut candidate = wanted.clone();
            while map.own.contains_key(&candidate) {
                number += 1;
                let ending = format!("_{number}");
                candidate = wanted.chars().take(LONGEST - ending.len()).collect::<String>() + &ending;
            }
            map.insert(name, candidate);
        }
        map
    }

    /// The legal name of a tool; a name that was not given to `new` is only made legal.
    pub fn legal(&self, name: &str) -> String {
        self.legal.get(name).cloned().unwrap_or_else(|| legal(name))
    }

    /// The tool of a legal name. A model may invent one: it is handed on as it is, and the host tells the model.
    pub fn own(&self, legal: &str) -> String {
        self.own.get(legal).cloned().unwrap_or_else(|| legal.to_string())
    }

    fn insert(&mut self, name: &str, legal: String) {
        self.own.insert(legal.clone(), name.into());
        self.legal.insert(name.into(), legal);
    }
}

fn is_legal(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST && name.chars().all(is_allowed)
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

fn legal(name: &str) -> String {
    let name: String = name.chars().take(LONGEST).map(|c| if is_allowed(c) { c } else { '_' }).collect();
    if name.is_empty() { "_".into() } else { name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn points_become_lines_and_come_back() {
        let names = ToolNames::new(["browser.click", "search"]);
        assert_eq!(names.legal("browser.click"), "browser_click");
        assert_eq!(names.own("browser_click"), "browser.click");
        assert_eq!(names.legal("search"), "search");
    }

    #[test]
    fn a_collision_gives_way_to_the_name_that_was_legal() {
        let names = ToolNames::new(["a.b", "a_b", "a-b", "a:b"]);
        assert_eq!(["a.b", "a_b", "a-b", "a:b"].map(|name| names.legal(name)), ["a_b_2", "a_b", "a-b", "a_b_3"]);
        assert_eq!(names.own("a_b_3"), "a:b");
    }

    #[test]
    fn an_invented_name_is_handed_on() {
        assert_eq!(ToolNames::new(["x"]).own("never_heard"), "never_heard");
    }

    proptest! {
        #[test]
        fn all_names_are_legal_different_and_found_again(names in proptest::collection::hash_set("[a-z._é-]{0,3}|[a-b.]{60,128}", 0..30)) {
            let map = ToolNames::new(names.iter().map(String::as_str));
            let mut seen = HashSet::new();
            for name in &names {
                let legal = map.legal(name);
                prop_assert!(is_legal(&legal), "{}", legal);
                prop_assert_eq!(&map.own(&legal), name);
                prop_assert!(seen.insert(legal));
            }
        }
    }
}
