//! Modes written for a single test: a core module in text with the exports of the canonical
//! ABI, made a component with the WIT in `wit/` or a modified copy of it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use convoke_discovery::Snapshot;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where a guest's constant results are in its memory; its heap follows them.
const RESULTS: usize = 0x1000;

/// A builder for a mode. Its functions are bodies in WAT that return a pointer to their result.
pub(crate) struct Guest {
    world: String,
    wit: fn(String) -> String,
    imports: String,
    items: String,
    configure: String,
    discover: String,
    announcer: Option<(String, String)>,
    has_strategy: bool,
    next_result: usize,
}

/// The result of a guest function: `result<…>` in the layout of the canonical ABI.
pub(crate) enum Returned<'a> {
    /// `ok` without a payload.
    Done,
    /// `ok(snapshot)` with candidates as address and port.
    Snapshot(&'a [(&'a str, Option<u16>)], Option<u32>),
    /// `ok(some(ms))`.
    Again(u32),
    /// `err(problem)`: the number of its case, and its text.
    Problem(u8, &'a str),
}

pub(crate) const MISCONFIGURED: u8 = 0;
pub(crate) const DENIED: u8 = 1;
pub(crate) const TEMPORARY: u8 = 2;
pub(crate) const FAILED: u8 = 3;

/// The imports of `convoke:host/multicast` under short names.
pub(crate) const MULTICAST: &str = r#"
    (import "convoke:host/multicast@0.1.0" "[static]group.join"
        (func $join (param i32 i32 i32 i32)))
    (import "convoke:host/multicast@0.1.0" "[method]group.send"
        (func $send (param i32 i32 i32 i32)))
    (import "convoke:host/multicast@0.1.0" "[method]group.receive"
        (func $receive (param i32 i32 i32 i32)))
    (import "convoke:host/multicast@0.1.0" "[resource-drop]group"
        (func $leave (param i32)))
"#;

/// The import of `convoke:host/log` under a short name.
pub(crate) const LOG: &str = r#"
    (import "convoke:host/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))
"#;

/// The WASI packages in `wit/deps`, in order of their dependencies.
const WASI: [&str; 7] = ["io", "clocks", "random", "filesystem", "sockets", "cli", "http"];

impl Guest {
    /// A mode that accepts any configuration and returns no candidates.
    pub(crate) fn new() -> Self {
        let mut guest = Self {
            world: "include convoke:discovery/mode@0.1.0;".into(),
            wit: |text| text,
            imports: String::new(),
            items: String::new(),
            configure: String::new(),
            discover: String::new(),
            announcer: None,
            has_strategy: true,
            next_result: RESULTS,
        };
        guest.configure = guest.result(&Returned::Done);
        guest.discover = guest.result(&Returned::Snapshot(&[], None));
        guest
    }

    /// A mode whose `$report` returns a snapshot with one candidate that encodes a number, 0 to
    /// 65534: see [`reported`].
    pub(crate) fn reporting() -> Self {
        let mut guest = Self::new();
        let found = guest.result(&Returned::Snapshot(&[("10.0.0.9", Some(1))], Some(1_000)));
        guest.items(&format!(
            "(func $report (param $number i32) (result i32)
                (i32.store16 (i32.add (i32.load offset=4 {found}) (i32.const 10))
                    (i32.add (local.get $number) (i32.const 1)))
                {found})"
        ))
    }

    /// Adds a constant result; returns the expression that points to it.
    pub(crate) fn result(&mut self, returned: &Returned<'_>) -> String {
        let base = self.next_result;
        let mut bytes = vec![0; 24];
        let put = |bytes: &mut Vec<u8>, at: usize, value: usize| {
            bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
        };
        match returned {
            Returned::Done => {}
            Returned::Snapshot(candidates, look_again_ms) => {
                put(&mut bytes, 4, base + 24);
                put(&mut bytes, 8, candidates.len());
                put(&mut bytes, 16, usize::from(look_again_ms.is_some()));
                put(&mut bytes, 20, look_again_ms.unwrap_or(0) as usize);
                bytes.resize(24 + 20 * candidates.len(), 0);
                for (n, (address, port)) in candidates.iter().enumerate() {
                    let (record, text) = (24 + 20 * n, base + bytes.len());
                    put(&mut bytes, record, text);
                    put(&mut bytes, record + 4, address.len());
                    let port_word = port.map_or(0, |port| 1 | usize::from(port) << 16);
                    put(&mut bytes, record + 8, port_word);
                    bytes.extend_from_slice(address.as_bytes());
                }
            }
            Returned::Again(ms) => {
                put(&mut bytes, 4, 1);
                put(&mut bytes, 8, *ms as usize);
            }
            Returned::Problem(case, text) => {
                bytes[0] = 1;
                bytes[4] = *case;
                put(&mut bytes, 8, base + 24);
                put(&mut bytes, 12, text.len());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        self.data(base, &bytes);
        self.next_result = (base + bytes.len()).next_multiple_of(8);
        assert!(self.next_result < 0xf000, "the guest's constant results do not fit");
        format!("(i32.const {base})")
    }

    /// Adds bytes to the guest's memory.
    pub(crate) fn data(&mut self, at: usize, bytes: &[u8]) {
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let _ = writeln!(self.items, "(data (i32.const {at}) \"{escaped}\")");
    }

    /// Adds text to the guest's memory, at `at`.
    pub(crate) fn text(mut self, at: usize, text: &str) -> Self {
        self.data(at, text.as_bytes());
        self
    }

    /// Adds functions and globals.
    pub(crate) fn items(mut self, wat: &str) -> Self {
        self.items.push_str(wat);
        self
    }

    pub(crate) fn configure(mut self, body: &str) -> Self {
        self.configure = body.into();
        self
    }

    pub(crate) fn configure_returns(mut self, returned: &Returned<'_>) -> Self {
        self.configure = self.result(returned);
        self
    }

    pub(crate) fn discover(mut self, body: &str) -> Self {
        self.discover = body.into();
        self
    }

    pub(crate) fn discover_returns(mut self, returned: &Returned<'_>) -> Self {
        self.discover = self.result(returned);
        self
    }

    /// Exports the announcer interface.
    pub(crate) fn announcer(mut self, announce: &str, withdraw: &str) -> Self {
        self.world.push_str(" include convoke:discovery/announcing-mode@0.1.0;");
        self.announcer = Some((announce.into(), withdraw.into()));
        self
    }

    /// Imports an interface, with the core imports that use it.
    pub(crate) fn import(mut self, interface: &str, core: &str) -> Self {
        let _ = write!(self.world, " import {interface};");
        self.imports.push_str(core);
        self
    }

    /// Builds against a modified copy of `wit/`.
    pub(crate) fn against(mut self, wit: fn(String) -> String) -> Self {
        self.wit = wit;
        self
    }

    pub(crate) fn without_strategy(mut self) -> Self {
        self.world.clear();
        self.has_strategy = false;
        self
    }

    /// The core module.
    pub(crate) fn core(&self) -> Vec<u8> {
        let mut functions = String::new();
        let mut export = |name: &str, signature: &str, body: &str| {
            let local = name.split_once('#').map_or(name, |(_, local)| local);
            let _ = writeln!(
                functions,
                "(func ${local} (export \"{name}\") {signature} (result i32) {body})"
            );
        };
        if self.has_strategy {
            let params = format!("(param {})", "i32 ".repeat(13));
            export("convoke:discovery/strategy@0.1.0#configure", &params, &self.configure);
            export("convoke:discovery/strategy@0.1.0#discover", "", &self.discover);
        }
        if let Some((announce, withdraw)) = &self.announcer {
            export("convoke:discovery/announcer@0.1.0#announce", "", announce);
            export("convoke:discovery/announcer@0.1.0#withdraw", "", withdraw);
        }
        let text = format!(
            r#"(module
                {imports}
                (memory (export "memory") 16)
                (global $heap (mut i32) (i32.const 0x10000))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at
                        (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                    (global.set $heap (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                {items}
                {functions})"#,
            imports = self.imports,
            items = self.items,
        );
        wat::parse_str((self.wit)(text)).expect("the guest's text is WAT")
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let wasi: &[&str] = if self.world.contains("wasi:") { &WASI } else { &[] };
        for package in wasi {
            let path = folder("deps").join(format!("{package}.wit"));
            let text = std::fs::read_to_string(path).expect("wit/deps is there");
            resolve.push_str(package, &(self.wit)(text)).expect("wit/deps is WIT");
        }
        for package in ["host", "discovery"] {
            let text = (self.wit)(wit(package));
            resolve.push_str(package, &text).expect("wit/ is WIT");
        }
        let world = format!("package test:guest; world guest {{ {} }}", self.world);
        let package =
            resolve.push_str("guest", &(self.wit)(world)).expect("the guest's world is WIT");
        let world = resolve.select_world(&[package], Some("guest")).expect("it has a world");
        let mut module = self.core();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
            .expect("the world goes into the module");
        ComponentEncoder::default()
            .module(&module)
            .expect("the module has a world")
            .validate(true)
            .encode()
            .expect("the module fits its world")
    }

    /// Writes the component to a file.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(format!("{name}.wasm"));
        std::fs::write(&path, self.build()).expect("the folder is writable");
        path
    }
}

/// The number with which `$report` was called.
pub(crate) fn reported(snapshot: &Snapshot) -> u16 {
    snapshot.candidates[0].address.port() - 1
}

fn folder(package: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(package)
}

/// All files of one package of `wit/`, concatenated.
fn wit(package: &str) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(package))
        .expect("wit/ is there")
        .map(|entry| entry.expect("wit/ is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wit"))
        .collect();
    files.sort();
    let texts: Vec<String> =
        files.iter().map(|path| std::fs::read_to_string(path).expect("it is text")).collect();
    // One file of a package declares its name; in concatenated text that has to come first.
    let (naming, rest): (Vec<_>, Vec<_>) =
        texts.into_iter().partition(|text| text.contains("package "));
    let header = naming
        .iter()
        .flat_map(|text| text.lines())
        .find(|line| line.starts_with("package "))
        .expect("one file names the package")
        .to_owned();
    let mut all = format!("{header}\n");
    for text in naming.iter().chain(&rest) {
        all.push_str(&text.replace(&header, ""));
        all.push('\n');
    }
    all
}
