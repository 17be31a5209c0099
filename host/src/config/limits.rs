//! `[limits]`, `[limits.most]` and the `limits` of an instance: what one call of a guest may use.
//!
//! `[limits]` is what an instance has that says nothing else, `[limits.most]` the ceiling for all of them. A wish above
//! the ceiling is a mistake and not a wish for less: nobody would see that a plugin got less than its configuration says.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::read::Section;
use super::{read, scalar};

pub(super) const MEMORY: RangeInclusive<u64> = 1 << 20..=4 << 30;
const TABLE_ELEMENTS: RangeInclusive<u64> = 1_000..=10_000_000;
const INSTANCES: RangeInclusive<u64> = 1..=1_000;
const RESOURCES: RangeInclusive<u64> = 8..=100_000;
const HOST_CALL: RangeInclusive<u64> = 1 << 20..=256 << 20;
const LIVE_CALLS: RangeInclusive<u64> = 1..=100_000;

/// What one call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub memory: u64,
    /// Time that wasm runs; waiting is not counted.
    pub running: Duration,
    /// Elements of one table.
    pub table_elements: u64,
    /// Core instances, memories and tables within a component.
    pub instances: u64,
    /// Live resources of one call.
    pub resources: u64,
    /// Bytes that one host call may carry.
    pub host_call: u64,
    /// Calls of one plugin at the same time.
    pub live_calls: u64,
}

/// What an instance wants instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitWishes {
    /// Bytes.
    pub memory: Option<u64>,
    /// Time that wasm runs.
    pub running: Option<Duration>,
    /// Elements of one table.
    pub table_elements: Option<u64>,
    /// Core instances, memories and tables.
    pub instances: Option<u64>,
    /// Live resources.
    pub resources: Option<u64>,
    /// Bytes that one host call may carry.
    pub host_call: Option<u64>,
    /// Calls at the same time.
    pub live_calls: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            running: Duration::from_secs(30),
            table_elements: 100_000,
            instances: 64,
            resources: 128,
            host_call: 24 << 20,
            live_calls: 2_000,
        }
    }
}

impl Limits {
    /// The ceiling unless the person moves it.
    fn most() -> Self {
        Self {
            memory: 1 << 30,
            running: Duration::from_secs(600),
            table_elements: 10_000_000,
            instances: 1_000,
            resources: 10_000,
            host_call: 256 << 20,
            live_calls: 10_000,
        }
    }

    /// With what an instance wants instead.
    pub fn with(self, wishes: &LimitWishes) -> Self {
        Self {
            memory: wishes.memory.unwrap_or(self.memory),
            running: wishes.running.unwrap_or(self.running),
            table_elements: wishes.table_elements.unwrap_or(self.table_elements),
            instances: wishes.instances.unwrap_or(self.instances),
            resources: wishes.resources.unwrap_or(self.resources),
            host_call: wishes.host_call.unwrap_or(self.host_call),
            live_calls: wishes.live_calls.unwrap_or(self.live_calls),
        }
    }
}

/// Reads the section, all of it given.
fn whole(section: &mut Section<'_, '_>, unset: Limits) -> Limits {
    Limits {
        memory: section.size("memory", unset.memory, MEMORY),
        running: section.duration("running", unset.running),
        table_elements: section.count("table_elements", unset.table_elements, TABLE_ELEMENTS),
        instances: section.count("instances", unset.instances, INSTANCES),
        resources: section.count("resources", unset.resources, RESOURCES),
        host_call: section.size("host_call", unset.host_call, HOST_CALL),
        live_calls: section.count("live_calls", unset.live_calls, LIVE_CALLS),
    }
}

/// `[limits]` and its ceiling.
pub(super) fn read<'a>(reader: &mut read::Reader<'a>, root: &DeTable<'a>) -> (Limits, Limits) {
    let table = super::table(reader, root, "limits");
    let entry = table.and_then(|table| table.get("most"));
    let mut section = reader.section("limits", table);
    let limits = whole(&mut section, Limits::default());
    section.entry("most");
    section.end();
    let place = entry.map(|entry| entry.span().start);
    let most = entry.and_then(|entry| entry.get_ref().as_table());
    if let (Some(at), None) = (place, most) {
        let place = reader.place(at);
        reader.problem(place, "`most` in [limits] must be a table: write [limits.most]");
    }
    let mut section = reader.section("limits.most", most);
    let ceiling = whole(&mut section, Limits::most());
    section.end();
    let wishes = LimitWishes {
        memory: Some(limits.memory),
        running: Some(limits.running),
        table_elements: Some(limits.table_elements),
        instances: Some(limits.instances),
        resources: Some(limits.resources),
        host_call: Some(limits.host_call),
        live_calls: Some(limits.live_calls),
    };
    let at = place.or_else(|| root.get("limits").map(|entry| entry.span().start)).unwrap_or(0);
    for text in beyond("[limits]", &wishes, &ceiling) {
        let place = reader.place(at);
        reader.problem(place, text);
    }
    (limits, ceiling)
}

/// `limits` of an instance.
pub(super) fn wishes(section: &mut Section<'_, '_>, ceiling: &Limits) -> LimitWishes {
    let name = section.key("limits");
    let table = subtable(section, "limits", "{ memory = \"64MB\", running = \"30s\" }");
    let place = table.map(|table| table.1);
    let mut limits = section.reader.section(&name, table.map(|table| table.0));
    let wishes = LimitWishes {
        memory: limits.optional_size("memory", None, MEMORY),
        running: limits.optional_duration("running", None),
        table_elements: limits.optional_count("table_elements", TABLE_ELEMENTS),
        instances: limits.optional_count("instances", INSTANCES),
        resources: limits.optional_count("resources", RESOURCES),
        host_call: limits.optional_size("host_call", None, HOST_CALL),
        live_calls: limits.optional_count("live_calls", LIVE_CALLS),
    };
    limits.end();
    for text in beyond(&format!("[{name}]"), &wishes, ceiling) {
        let place = section.reader.place(place.unwrap_or(0));
        section.reader.problem(place, text);
    }
    wishes
}

/// A table within a section, and where it begins.
fn subtable<'r, 'a>(section: &mut Section<'r, 'a>, key: &str, like: &str) -> Option<(&'r DeTable<'a>, usize)> {
    let entry = section.entry(key)?;
    let start = entry.span().start;
    if let DeValue::Table(table) = entry.get_ref() {
        return Some((table, start));
    }
    let place = section.reader.place(start);
    section.reader.problem(place, format!("`{key}` must be a table: {like}"));
    None
}

/// A sentence for each wish that is above the ceiling.
fn beyond(place: &str, wishes: &LimitWishes, ceiling: &Limits) -> Vec<String> {
    fn one<T: PartialOrd>(
        place: &str,
        key: &str,
        wish: Option<T>,
        most: T,
        show: impl Fn(T) -> String,
    ) -> Option<String> {
        let wish = wish.filter(|wish| *wish > most)?;
        let (wish, most) = (show(wish), show(most));
        Some(format!(
            "`{key}` in {place}: {wish} is more than the ceiling of {most}; ask for less, or raise `{key}` in [limits.most]"
        ))
    }
    fn plain(number: impl Display) -> String {
        number.to_string()
    }
    [
        one(place, "memory", wishes.memory, ceiling.memory, scalar::show_size),
        one(place, "running", wishes.running, ceiling.running, scalar::show_duration),
        one(place, "table_elements", wishes.table_elements, ceiling.table_elements, plain),
        one(place, "instances", wishes.instances, ceiling.instances, plain),
        one(place, "resources", wishes.resources, ceiling.resources, plain),
        one(place, "host_call", wishes.host_call, ceiling.host_call, scalar::show_size),
        one(place, "live_calls", wishes.live_calls, ceiling.live_calls, plain),
    ]
    .into_iter()
    .flatten()
    .collect()
}
