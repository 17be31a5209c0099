//! Compares two versions of the contract, and says of each thing that plugins rely on how it was broken.
//!
//! Plugins import interfaces and export interfaces. To one that is imported something may be added, for a plugin that was
//! built before does not ask for it; one that is exported stays as it is. Types stay as they are in both. Names are compared
//! with the first two numbers of the version, within which all of this holds.

use std::collections::{BTreeMap, BTreeSet};

use wit_parser::{Function, Handle, InterfaceId, Resolve, Type, TypeDefKind, TypeOwner, WorldItem};

/// The contract in its one-file form.
pub fn parse(text: &str) -> Resolve {
    let mut resolve = Resolve::default();
    // A file of nested packages stands beside a package of one's own, as in each plugin.
    resolve
        .push_str("openpista.wit", &format!("package local:plugin;\n{text}"))
        .unwrap_or_else(|error| panic!("the contract is no WIT: {error:#}"));
    resolve
}

/// What plugins that were built with `then` miss in `now`.
pub fn broken(then: &Resolve, now: &Resolve) -> Vec<String> {
    let mut wrong = Vec::new();
    let (before, after) = (interfaces(then), interfaces(now));
    let exported = exports(then);
    for (name, id) in &before {
        let Some(new) = after.get(name) else {
            wrong.push(format!("the interface {name} is gone"));
            continue;
        };
        let (old, new) = (&then.interfaces[*id], &now.interfaces[*new]);
        let plain = name.split('@').next().unwrap_or(name);
        for (title, id) in &old.types {
            match new.types.get(title) {
                None => wrong.push(format!("{plain}: the type `{title}` is gone")),
                Some(new) => {
                    let (was, is) = (definition(then, &then.types[*id].kind), definition(now, &now.types[*new].kind));
                    wrong.extend(difference(plain, "type", title, &was, &is));
                }
            }
        }
        for (title, function) in &old.functions {
            match new.functions.get(title) {
                None => wrong.push(format!("{plain}: the function `{title}` is gone")),
                Some(new) => {
                    let (was, is) = (signature(then, function), signature(now, new));
                    wrong.extend(difference(plain, "function", title, &was, &is));
                }
            }
        }
        if exported.contains(name) {
            let more = new.functions.keys().filter(|title| !old.functions.contains_key(*title));
            wrong.extend(more.map(|title| {
                format!("{plain}: plugins export it, and none that was built before has the function `{title}`")
            }));
        }
    }
    worlds(then, now, &mut wrong);
    wrong
}

fn worlds(then: &Resolve, now: &Resolve, wrong: &mut Vec<String>) {
    for (_, old) in &then.worlds {
        // That one is for the host's own bindings, and grows with each capability.
        if old.name == "host" {
            continue;
        }
        let package = old.package.map_or_else(String::new, |id| then.packages[id].name.to_string());
        let title = format!("{}/{}", package.split('@').next().unwrap_or_default(), old.name);
        let Some((_, new)) = now.worlds.iter().find(|(_, world)| world.name == old.name) else {
            wrong.push(format!("the world {title} is gone"));
            continue;
        };
        let names = |resolve: &Resolve, items: Vec<&WorldItem>| -> BTreeSet<String> {
            let named = items.into_iter().filter_map(|item| match item {
                WorldItem::Interface { id, .. } => Some(*id),
                _ => None,
            });
            named.map(|id| name(resolve, id)).collect()
        };
        let plain = |name: &String| name.split('@').next().unwrap_or_default().to_string();
        let imports = (names(then, old.imports.values().collect()), names(now, new.imports.values().collect()));
        for gone in imports.0.difference(&imports.1) {
            wrong.push(format!("the world {title}: the import of {} is gone", plain(gone)));
        }
        let exports = (names(then, old.exports.values().collect()), names(now, new.exports.values().collect()));
        for gone in exports.0.difference(&exports.1) {
            wrong.push(format!("the world {title}: the export of {} is gone", plain(gone)));
        }
        for more in exports.1.difference(&exports.0) {
            wrong.push(format!("the world {title}: no plugin that was built before exports {}", plain(more)));
        }
    }
}

/// By name.
fn interfaces(resolve: &Resolve) -> BTreeMap<String, InterfaceId> {
    resolve.interfaces.iter().filter(|(_, one)| one.name.is_some()).map(|(id, _)| (name(resolve, id), id)).collect()
}

/// `openpista:state/state@0.1`
fn name(resolve: &Resolve, id: InterfaceId) -> String {
    let interface = &resolve.interfaces[id];
    let package = interface.package.map(|id| &resolve.packages[id].name);
    let title = interface.name.as_deref().unwrap_or_default();
    package.map_or_else(
        || title.to_string(),
        |package| {
            let version = package.version.as_ref().map(|version| format!("@{}.{}", version.major, version.minor));
            format!("{}:{}/{title}{}", package.namespace, package.name, version.unwrap_or_default())
        },
    )
}

/// What plugins export in any world.
fn exports(resolve: &Resolve) -> BTreeSet<String> {
    let items = resolve.worlds.iter().flat_map(|(_, world)| world.exports.values());
    let ids = items.filter_map(|item| match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    });
    ids.map(|id| name(resolve, id)).collect()
}

fn difference(place: &str, what: &str, title: &str, was: &str, is: &str) -> Option<String> {
    (was != is).then(|| format!("{place}: the {what} `{title}` was {was}, and is {is}"))
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<String> = function
        .params
        .iter()
        .map(|parameter| format!("{}: {}", parameter.name, shown(resolve, &parameter.ty)))
        .collect();
    let result = function.result.as_ref().map(|result| format!(" -> {}", shown(resolve, result)));
    format!("func({}){}", parameters.join(", "), result.unwrap_or_default())
}

/// A type by its name, which stands in a list of its own, or by what it is made of.
fn shown(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Id(id) => {
            let found = &resolve.types[*id];
            found.name.clone().unwrap_or_else(|| definition(resolve, &found.kind))
        }
        plain => format!("{plain:?}").to_lowercase(),
    }
}

fn definition(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let shown = |ty: &Type| shown(resolve, ty);
    let maybe = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_string(), shown);
    match kind {
        TypeDefKind::Record(record) => {
            let fields: Vec<String> =
                record.fields.iter().map(|field| format!("{}: {}", field.name, shown(&field.ty))).collect();
            format!("record {{ {} }}", fields.join(", "))
        }
        TypeDefKind::Variant(variant) => {
            let case = |case: &wit_parser::Case| match &case.ty {
                Some(ty) => format!("{}({})", case.name, shown(ty)),
                None => case.name.clone(),
            };
            format!("variant {{ {} }}", variant.cases.iter().map(case).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Enum(one) => {
            format!("enum {{ {} }}", one.cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Flags(flags) => {
            format!("flags {{ {} }}", flags.flags.iter().map(|flag| flag.name.clone()).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", tuple.types.iter().map(shown).collect::<Vec<_>>().join(", ")),
        TypeDefKind::Option(ty) => format!("option<{}>", shown(ty)),
        TypeDefKind::List(ty) => format!("list<{}>", shown(ty)),
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (None, None) => "result".to_string(),
            (ok, None) => format!("result<{}>", maybe(ok)),
            (ok, err) => format!("result<{}, {}>", maybe(ok), maybe(err)),
        },
        TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", shown(&Type::Id(*id))),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", shown(&Type::Id(*id))),
        TypeDefKind::Resource => "resource".to_string(),
        // What another interface defines is compared there; that it comes from there is compared here.
        TypeDefKind::Type(ty) => {
            let from = match ty {
                Type::Id(id) => match resolve.types[*id].owner {
                    TypeOwner::Interface(interface) => format!(" of {}", name(resolve, interface)),
                    _ => String::new(),
                },
                _ => String::new(),
            };
            format!("{}{from}", shown(ty))
        }
        other => panic!("the contract has no {} so far: compare them, too", other.as_str()),
    }
}
