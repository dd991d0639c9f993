//! Test modes written in WebAssembly text: faulty ones, and one with a fixed candidate.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Bodies of `discover`, which leave the address of its result on the stack.
const LOOP: &str = "(loop $forever (br $forever)) unreachable";
const CRASH: &str = "unreachable";
const GROW: &str = "(loop $more (drop (memory.grow (i32.const 16))) (br $more)) unreachable";
/// The address of a prepared result.
const RESULT: &str = "(i32.const 2048)";

/// A component with the exports of a mode.
#[derive(Clone, Debug)]
pub struct Guest {
    discover: &'static str,
    data: String,
}

impl Guest {
    /// Loops endlessly in each lookup.
    #[must_use]
    pub fn looping() -> Self {
        Self { discover: LOOP, data: String::new() }
    }

    /// Crashes in each lookup.
    #[must_use]
    pub fn crashing() -> Self {
        Self { discover: CRASH, data: String::new() }
    }

    /// Allocates memory endlessly in each lookup.
    #[must_use]
    pub fn growing() -> Self {
        Self { discover: GROW, data: String::new() }
    }

    /// Returns one candidate, an IPv4 literal and a port, and requests the next lookup in
    /// `again_ms` milliseconds.
    #[must_use]
    pub fn finding(address: &str, port: u16, again_ms: u32) -> Self {
        let bytes = |parts: &[&[u8]]| -> String {
            parts.concat().iter().map(|byte| format!("\\{byte:02x}")).collect()
        };
        let word = |number: u32| number.to_le_bytes();
        // The layout of `ok(snapshot)`, its candidate and the text in the canonical ABI.
        let result = bytes(&[&word(0), &word(2112), &word(1), &word(0), &word(1), &word(again_ms)]);
        let candidate = bytes(&[
            &word(2176),
            &word(address.len() as u32),
            &[1, 0],
            &port.to_le_bytes(),
            &word(0),
            &word(0),
        ]);
        let data = format!(
            "(data (i32.const 2048) \"{result}\") (data (i32.const 2112) \"{candidate}\") (data (i32.const 2176) \"{address}\")"
        );
        Self { discover: RESULT, data }
    }

    /// Writes the component.
    ///
    /// # Panics
    /// If it cannot be built or written.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.component()).expect("a file that can be written");
    }

    /// The component.
    ///
    /// # Panics
    /// If it cannot be built.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        let text = format!(
            r#"(module
                (memory (export "memory") 1)
                (global $free (mut i32) (i32.const 8192))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                    (global.set $free (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                (func (export "convoke:discovery/strategy@0.1.0#configure")
                    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                    (i32.const 1024))
                (func (export "convoke:discovery/strategy@0.1.0#discover") (result i32) {})
                {})"#,
            self.discover, self.data
        );
        let mut module = wat::parse_str(text).expect("well-formed text");
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let mut resolve = Resolve::default();
        for package in ["host", "discovery"] {
            resolve.push_dir(wit.join(package)).expect("valid WIT");
        }
        let package = resolve
            .push_str(
                "guest.wit",
                "package test:guest; world guest { include convoke:discovery/mode@0.1.0; }",
            )
            .expect("valid WIT");
        let world = resolve.select_world(&[package], Some("guest")).expect("the world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
            .expect("matching types");
        ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .and_then(|encoder| encoder.encode())
            .expect("a component")
    }
}
