//! Files in the plugins folder that are no plugin, or lie about what they are.

use openpista_host::plugin::registry::Broken;

use super::bench::{self, Bench, guest};

const NAME: &str = "tool-pure-with-a-name-that-is-found-among-the-bytes";
const VERSION: &str = "1.0.0-with-a-version-that-is-found-among-the-bytes";
const SCHEMA: &str = r#"{"type":"object","properties":{"found-among-the-bytes":{"type":"string"}}}"#;

/// The harmless guest with other bytes, as many, in place of some.
fn lie(truth: &str, lie: &[u8]) -> Vec<u8> {
    bench::lie(&guest("guest-pure"), truth, lie)
}

/// Why this file is not used; the harmless one beside it is.
async fn reason(bytes: Vec<u8>) -> String {
    let bench = Bench::new(&[("a-bad.wasm", bytes), ("pure.wasm", guest("guest-pure"))], "").await;
    bench.pure_works().await;
    match bench.app.registry.snapshot().broken.as_slice() {
        [Broken { file, reason, serving: None }] if file == "a-bad.wasm" => reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_component_is_told_apart() {
    assert_eq!(reason(Vec::new()).await, "it is no WebAssembly: it does not begin with `\\0asm`");
    // A generator with fixed constants: the same bytes each time, and no pattern that a parser could like.
    let noise = (0..4096_u32).scan(1_u32, |state, _| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes().first().copied()
    });
    assert_eq!(reason(noise.collect()).await, "it is no WebAssembly: it does not begin with `\\0asm`");
    assert_eq!(
        reason(b"\0asm\x01\0\0\0".to_vec()).await,
        "it is a core WebAssembly module, not a component: build it with `cargo component build`, or for the target \
         wasm32-wasip2"
    );
    assert_eq!(
        reason(b"\0asm\x07\0\x07\0".to_vec()).await,
        "it is WebAssembly of a format that this host does not know"
    );
    assert_eq!(reason(b"\0asm".to_vec()).await, "it is cut off: only its first bytes are there");
}

#[tokio::test]
async fn a_component_that_is_cut_off_anywhere_is_refused() {
    let whole = guest("guest-pure");
    for kept in [8, 9, 100, whole.len() / 2, whole.len() - 1] {
        let told = reason(whole.get(..kept).unwrap().to_vec()).await;
        // The first eight bytes alone are a whole component, an empty one.
        let expected = match kept {
            8 => "it is a component of another world: it exports nothing",
            _ => "it is cut off, damaged, or uses what this host does not know: ",
        };
        assert!(told.starts_with(expected), "{kept}: {told}");
    }
}

#[tokio::test]
async fn a_component_of_another_world_or_time_is_told_so() {
    let elsewhere = reason(guest("guest-elsewhere")).await;
    assert_eq!(
        elsewhere,
        "it is a component of another world: it exports nothing, and not openpista:plugin/manifest@0.1.0"
    );
    let older = reason(guest("guest-older")).await;
    assert_eq!(
        older,
        "it was built for an older contract (openpista:plugin/manifest 0.0.9; this host has 0.1.0): build it again \
         with the WIT of this host (`openpista-host plugin new` lays it out)"
    );
}

#[tokio::test]
async fn describing_must_be_pure() {
    let told = reason(guest("guest-impure")).await;
    assert_eq!(told, "describe failed: `describe` must be pure, but it called openpista:state/state@0.1.0#get");
}

#[tokio::test]
async fn lies_in_the_manifest_refuse_the_file() {
    let padded = |text: &str, size: usize| format!("{text:x<size$}").into_bytes();
    let told = reason(lie(NAME, &padded("../../etc/", NAME.len()))).await;
    assert!(told.starts_with("its manifest has a bad name: \"../../etc/xxx"), "{told}");
    let told = reason(lie(VERSION, &padded("newest", VERSION.len()))).await;
    assert!(told.starts_with("its manifest has a bad version: \"newestxxx"), "{told}");
    let told = reason(lie(SCHEMA, &padded("{", SCHEMA.len()))).await;
    assert!(told.starts_with("its manifest has a broken settings schema: "), "{told}");
    let told = reason(lie(SCHEMA, format!("{:<1$}", r#"{"type":"string"}"#, SCHEMA.len()).as_bytes())).await;
    assert_eq!(told, "its manifest has a broken settings schema: its type is not object");
    // What the ABI carries as a string is no UTF-8.
    let mut name = NAME.as_bytes().to_vec();
    name.splice(..2, [0xff, 0xfe]);
    assert_eq!(reason(lie(NAME, &name)).await, "describe failed: invalid utf-8 sequence of 1 bytes from index 0");
}

#[tokio::test]
async fn of_two_files_with_one_name_the_first_is_used_and_the_other_told_of() {
    let mut second = guest("guest-pure");
    // A custom section of the name `x` without content: other bytes, the same component.
    second.extend([0, 2, 1, b'x']);
    let bench = Bench::new(&[("first.wasm", guest("guest-pure")), ("second.wasm", second)], "").await;
    bench.pure_works().await;
    let snapshot = bench.app.registry.snapshot();
    let reason = format!("it has the same name as first.wasm ({NAME}); only one can be used");
    assert_eq!(snapshot.broken, [Broken { file: "second.wasm".into(), reason, serving: None }]);
    assert_eq!(snapshot.plugins.get(NAME).map(|plugin| plugin.file.as_str()), Some("first.wasm"));
}

#[tokio::test]
async fn a_file_that_turns_bad_leaves_its_last_good_bytes_at_work() {
    let bench = Bench::new(&[("pure.wasm", guest("guest-pure"))], "").await;
    let digest = openpista_host::plugin::digest(&guest("guest-pure"));
    std::fs::write(bench.path("plugins").join("pure.wasm"), b"\0asm").unwrap();
    assert!(bench.app.registry.scan().await.unwrap());
    bench.app.plugins_changed().await;
    let reason = "it is cut off: only its first bytes are there".to_string();
    let expected = [Broken { file: "pure.wasm".into(), reason, serving: Some(digest) }];
    assert_eq!(bench.app.registry.snapshot().broken, expected);
    bench.pure_works().await;
}

#[tokio::test]
async fn last_good_bytes_serve_after_a_restart_too_unless_they_are_others_by_then() {
    let bench = Bench::new(&[("pure.wasm", guest("guest-pure"))], "").await;
    let digest = openpista_host::plugin::digest(&guest("guest-pure"));
    let bench = bench.again(|home| std::fs::write(home.join("plugins/pure.wasm"), b"\0asm").unwrap()).await;
    let broken = |serving| {
        let reason = "it is cut off: only its first bytes are there".to_string();
        [Broken { file: "pure.wasm".into(), reason, serving }]
    };
    assert_eq!(bench.app.registry.snapshot().broken, broken(Some(digest.clone())));
    bench.pure_works().await;

    let others = |home: &std::path::Path| {
        std::fs::write(home.join(format!("cache/good/{digest}.wasm")), guest("guest-waiting")).unwrap();
        for made in std::fs::read_dir(home.join("cache")).unwrap().flatten() {
            if made.path().is_file() {
                std::fs::remove_file(made.path()).unwrap();
            }
        }
    };
    let bench = bench.again(others).await;
    let snapshot = bench.app.registry.snapshot();
    assert_eq!(snapshot.broken, broken(None));
    assert!(snapshot.plugins.is_empty());
}
