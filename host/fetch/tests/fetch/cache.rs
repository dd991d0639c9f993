//! The cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use convoke_fetch::limits::CACHED_MAX;
use convoke_fetch::{Fetcher, Reference};

use crate::authority::trusting;
use crate::server::{Answer, Server};
use crate::{BYTES, digest, digest_text, limits};

fn file(folder: &Path) -> PathBuf {
    file_of(folder, BYTES)
}

fn file_of(folder: &Path, bytes: &[u8]) -> PathBuf {
    folder.join(format!("{}.wasm", digest_text(bytes).trim_start_matches("sha256:")))
}

fn names(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("read").path()).collect()
}

fn reference(server: &Server) -> Reference {
    server.https("/a").parse().expect("a reference")
}

#[test]
fn a_component_in_the_cache_needs_no_server() {
    trusting("cache::a_component_in_the_cache_needs_no_server", async |tls| {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = folder.path().join("made/when/needed");
        let fetcher = Fetcher::new(Some(cache.clone()), limits());
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        let reference = reference(&server);
        assert_eq!(fetcher.fetch(&reference, digest(BYTES)).await.expect("fetched"), BYTES);
        assert_eq!(names(&cache), [file(&cache)]);
        assert_eq!(fs::read(file(&cache)).expect("cached"), BYTES);
        drop(server);

        let restarted = Fetcher::new(Some(cache), limits());
        assert_eq!(restarted.fetch(&reference, digest(BYTES)).await.expect("cached"), BYTES);
        // The reference is not used either.
        let unreachable = "oci://127.0.0.1:1/shelf".parse().expect("a reference");
        assert_eq!(restarted.fetch(&unreachable, digest(BYTES)).await.expect("cached"), BYTES);
    });
}

#[test]
fn a_damaged_component_is_fetched_again() {
    trusting("cache::a_damaged_component_is_fetched_again", async |tls| {
        let folder = tempfile::tempdir().expect("a folder");
        let fetcher = Fetcher::new(Some(folder.path().to_owned()), limits());
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        let reference = reference(&server);
        for (round, damaged) in [&BYTES[..5], b"", b"something else"].iter().enumerate() {
            fs::write(file(folder.path()), damaged).expect("written");
            assert_eq!(
                fetcher.fetch(&reference, digest(BYTES)).await.expect("fetched again"),
                BYTES
            );
            assert_eq!(fs::read(file(folder.path())).expect("repaired"), BYTES);
            assert_eq!(server.paths().len(), round + 1);
        }
    });
}

#[test]
fn a_component_with_another_digest_is_not_cached() {
    trusting("cache::a_component_with_another_digest_is_not_cached", async |tls| {
        let folder = tempfile::tempdir().expect("a folder");
        let fetcher = Fetcher::new(Some(folder.path().to_owned()), limits());
        let server = Server::start(Some(tls), |_| Answer::ok(b"another")).await;
        fetcher.fetch(&reference(&server), digest(BYTES)).await.expect_err("another");
        assert!(names(folder.path()).is_empty());
    });
}

#[test]
fn an_unwritable_cache_is_not_an_error() {
    trusting("cache::an_unwritable_cache_is_not_an_error", async |tls| {
        let folder = tempfile::tempdir().expect("a folder");
        let in_the_way = folder.path().join("a-file");
        fs::write(&in_the_way, b"").expect("written");
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        for cache in [in_the_way.clone(), in_the_way.join("below")] {
            let fetcher = Fetcher::new(Some(cache), limits());
            let bytes = fetcher.fetch(&reference(&server), digest(BYTES)).await;
            assert_eq!(bytes.expect("fetched"), BYTES);
        }
        let folder_in_the_way = file(folder.path());
        fs::create_dir(&folder_in_the_way).expect("made");
        let fetcher = Fetcher::new(Some(folder.path().to_owned()), limits());
        let bytes = fetcher.fetch(&reference(&server), digest(BYTES)).await;
        assert_eq!(bytes.expect("fetched"), BYTES);
        assert_eq!(server.paths().len(), 3);
        assert_eq!(names(folder.path()).len(), 2, "nothing half-written is left");
    });
}

#[test]
fn fetchers_may_share_a_cache() {
    trusting("cache::fetchers_may_share_a_cache", async |tls| {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        let reference = reference(&server);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let fetcher = Fetcher::new(Some(folder.path().to_owned()), limits());
            let reference = reference.clone();
            tasks.spawn(async move { fetcher.fetch(&reference, digest(BYTES)).await });
        }
        for outcome in tasks.join_all().await {
            assert_eq!(outcome.expect("fetched"), BYTES);
        }
        assert_eq!(names(folder.path()), [file(folder.path())]);
    });
}

#[test]
fn the_least_recently_used_and_abandoned_files_are_removed() {
    trusting("cache::the_least_recently_used_and_abandoned_files_are_removed", async |tls| {
        let folder = tempfile::tempdir().expect("a folder");
        let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(3_600 * hours);
        let write = |name: &str, hours: u64| {
            let path = folder.path().join(name);
            fs::write(&path, name).expect("written");
            let file = fs::File::open(&path).expect("there");
            file.set_modified(hours_ago(hours)).expect("ours");
            path
        };
        let unfinished = [write(".fetched-a", 0), write(".fetched-b", 2)];
        let unrelated = write("README", 1_000);
        let kept: Vec<_> =
            (0..CACHED_MAX).map(|n| write(&format!("{n:064x}.wasm"), 10 + n as u64)).collect();
        // The least recently used but one is used again.
        let used = kept.len() - 2;
        let bytes = fs::read(&kept[used]).expect("there");
        let path = file_of(folder.path(), &bytes);
        fs::rename(&kept[used], &path).expect("renamed");

        let fetcher = Fetcher::new(Some(folder.path().to_owned()), limits());
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        fetcher.fetch(&reference(&server), digest(&bytes)).await.expect("cached");
        fetcher.fetch(&reference(&server), digest(BYTES)).await.expect("fetched");
        assert!(file(folder.path()).exists() && path.exists() && unrelated.exists());
        assert_eq!(unfinished.map(|path| path.exists()), [true, false]);
        assert!(!kept[CACHED_MAX - 1].exists());
        assert_eq!(kept.iter().filter(|path| path.exists()).count(), CACHED_MAX - 2);
    });
}
