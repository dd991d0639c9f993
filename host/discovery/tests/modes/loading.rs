//! Files that are rejected before any code of a mode runs, and the error texts.

use std::fs;
use std::path::Path;

use convoke_discovery::{
    Digest, DiscoveryHost, HostConfig, LoadError, ModeSpec, Source, precompile,
};

use crate::guest::{Guest, LOG, MULTICAST};
use crate::support::{config, file, granted, host, load, local, spec};

async fn error_of(spec: &ModeSpec) -> String {
    match host().load(spec).await {
        Ok(_) => panic!("{spec:?} was not refused"),
        Err(error) => error.to_string(),
    }
}

/// The error for a file that contains `bytes`, without the part that names the file.
async fn error_of_bytes(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.wasm");
    fs::write(&path, bytes).unwrap();
    let text = error_of(&file(&path)).await;
    let path = path.display().to_string();
    let (_, message) = text.split_once(&path).unwrap_or_else(|| panic!("{text:?} names no file"));
    message.trim_start().to_owned()
}

#[tokio::test]
async fn a_loaded_component_lists_its_imports() {
    let host = host();
    let loaded = load(&host, &Guest::new()).await.unwrap();
    assert_eq!(loaded.name(), "test");
    assert_eq!(loaded.imports(), [""; 0]);
    assert!(!loaded.announces());
    host.check(&loaded, &local()).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_a_component_is_identified() {
    assert_eq!(error_of_bytes(b"").await, "is empty; build or download it again");
    assert_eq!(
        error_of_bytes(b"<html>404</html>").await,
        "is text, not a component; if it was downloaded, it may be an error page; if it is WAT, assemble it with `wasm-tools parse`"
    );
    assert_eq!(
        error_of_bytes(&Guest::new().core()).await,
        "is a core WebAssembly module, not a component; convert it with `wasm-tools component new`"
    );
    assert_eq!(
        error_of_bytes(&precompile(&Guest::new().build()).unwrap()).await,
        "contains precompiled machine code, which cannot be verified; use the .wasm component that it was compiled from"
    );
}

#[tokio::test]
async fn a_truncated_file_is_rejected_without_a_panic() {
    let component = Guest::new().build();
    for length in (8..component.len()).step_by(97) {
        let text = error_of_bytes(&component[..length]).await;
        assert!(
            text.starts_with("is damaged, truncated, or uses WebAssembly features")
                || text.contains("cannot be used"),
            "at {length}: {text}"
        );
        assert!(!text.contains('\n'));
    }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    assert_eq!(
        error_of(&file("no/such/mode.wasm")).await,
        format!(
            "mode \"test\": there is no file {}/no/such/mode.wasm",
            std::env::current_dir().unwrap().display()
        )
    );
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        error_of(&file(folder.path())).await,
        format!(
            "mode \"test\": {} is a directory; name the component file in it",
            folder.path().display()
        )
    );
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_read_completely() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.wasm");
    fs::File::create(&path).unwrap().set_len(65 << 20).unwrap();
    let error = host().load(&file(&path)).await.err().unwrap();
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn the_digest_is_checked_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = Guest::new().write(folder.path(), "test");
    let digest = Digest::of(&fs::read(&path).unwrap());
    let mut spec = file(&path);
    spec.digest = Some(digest);
    host().load(&spec).await.unwrap();

    fs::write(&path, "not even WebAssembly").unwrap();
    assert_eq!(
        error_of(&spec).await,
        format!(
            "mode \"test\": {} has digest {}, but the configuration requires {digest}; get the right file, or change `digest`",
            path.display(),
            Digest::of(b"not even WebAssembly")
        )
    );
}

#[tokio::test]
async fn a_built_in_mode_uses_precompiled_code() {
    let precompiled: &'static [u8] = precompile(&Guest::new().build()).unwrap().leak();
    let source = Source::Builtin { name: "test", precompiled };
    let host = host();
    let loaded = host.load(&spec(source.clone())).await.unwrap();
    host.open(&loaded, &local()).await.unwrap().discover().await.unwrap();

    let mut pinned = spec(source);
    pinned.digest = Some(Digest::of(b""));
    assert_eq!(
        error_of(&pinned).await,
        "mode \"test\" is built in and has no file to verify; remove `digest`"
    );
    let damaged = spec(Source::Builtin { name: "test", precompiled: &precompiled[..100] });
    assert!(error_of(&damaged).await.ends_with("; rebuild convoke"));
}

#[tokio::test]
async fn a_mode_gets_only_what_was_granted() {
    let guest = Guest::new().import("convoke:host/multicast@0.1.0", MULTICAST);
    let folder = tempfile::tempdir().unwrap();
    let path = guest.write(folder.path(), "test");
    assert_eq!(
        error_of(&file(&path)).await,
        format!(
            "mode \"test\" ({}) cannot be used: it imports convoke:host/multicast@0.1.0, which is not granted; to allow it, its [[discovery]] needs: grant = {{ multicast = [\"224.2.2.4:2904\"] }}",
            path.display()
        )
    );
    let loaded = host().load(&granted(file(&path), "224.2.2.4:*")).await.unwrap();
    assert_eq!(loaded.imports(), ["convoke:host/multicast"]);
}

#[tokio::test]
async fn all_missing_grants_are_reported_at_once() {
    let future = Guest::new()
        .import("convoke:host/log@0.1.0", LOG)
        .import("convoke:host/multicast@0.1.0", MULTICAST)
        .against(|text| text.replace("@0.1.0", "@0.2.0"));
    let folder = tempfile::tempdir().unwrap();
    let path = future.write(folder.path(), "test");
    let text = error_of(&granted(file(&path), "224.2.2.4:*")).await;
    for part in [
        "it imports convoke:host/log 0.2.0, and this convoke has 0.1.0: this convoke is older; update convoke",
        "it imports convoke:host/multicast 0.2.0, and",
        "it exports convoke:discovery/strategy 0.2.0, and",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn unknown_interfaces_are_rejected_by_name() {
    let telepathy = Guest::new()
        .import(
            "convoke:host/telepathy@0.1.0",
            r#"(import "convoke:host/telepathy@0.1.0" "read" (func $read (result i32)))"#,
        )
        .against(|text| match text.contains("package convoke:host@0.1.0;") {
            true => text + "interface telepathy { read: func() -> u32; }",
            false => text,
        });
    let text = load(&host(), &telepathy).await.err().unwrap().to_string();
    assert!(
        text.ends_with("it imports convoke:host/telepathy@0.1.0, which this convoke does not have; it has: convoke:host/dns, convoke:host/kubernetes, convoke:host/log, convoke:host/multicast, convoke:host/probe, convoke:host/store"),
        "{text}"
    );
}

#[tokio::test]
async fn a_component_without_a_strategy_export_is_rejected() {
    let text = load(&host(), &Guest::new().without_strategy()).await.err().unwrap().to_string();
    assert!(
        text.ends_with("it does not export convoke:discovery/strategy@0.1.0, which every mode has to; include the world convoke:discovery/mode"),
        "{text}"
    );
}

#[tokio::test]
async fn an_interface_with_other_types_is_rejected() {
    let louder = Guest::new()
        .import("convoke:host/log@0.1.0", LOG)
        .against(|text| text.replace("        error,\n", "        error,\n        fatal,\n"));
    let text = load(&host(), &louder).await.err().unwrap().to_string();
    assert!(text.contains("its types do not match the interfaces it imports or exports"), "{text}");
    assert!(text.ends_with("build it from the wit/ of this convoke"), "{text}");
}

/// The number of compiled components in a cache, which also contains statistics files.
fn compiled_in(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| match path.is_dir() {
            true => compiled_in(&path),
            false => usize::from(path.extension().is_none()),
        })
        .sum()
}

#[tokio::test]
async fn a_compiled_file_is_cached_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let cache_directory = Some(folder.path().to_owned());
    let host = DiscoveryHost::new(HostConfig { cache_directory, ..config() }).unwrap();
    load(&host, &Guest::new()).await.unwrap();
    assert_eq!(compiled_in(folder.path()), 1);
    load(&host, &Guest::new()).await.unwrap();
    assert_eq!(compiled_in(folder.path()), 1);
}

#[tokio::test]
async fn modes_load_without_a_usable_cache() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let cache_directory = Some(file.path().join("below-a-file"));
    let host = DiscoveryHost::new(HostConfig { cache_directory, ..config() }).unwrap();
    load(&host, &Guest::new()).await.unwrap();
}
