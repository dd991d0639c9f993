//! Modes written for a single test: bodies in WAT, made components with the WIT in `wit/`.

use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// `ok` without a payload, and with an empty snapshot.
pub(crate) const FINE: &str = "(i32.const 0x1000)";
/// `misconfigured("no")`.
pub(crate) const MISCONFIGURED: &str = "(i32.const 0x1100)";
/// `temporary("no")`.
pub(crate) const TEMPORARY: &str = "(i32.const 0x1200)";

/// A mode that accepts any configuration and returns no candidates, unless changed.
pub(crate) struct Guest {
    pub(crate) imports: &'static str,
    pub(crate) core_imports: &'static str,
    pub(crate) items: &'static str,
    /// Locals 0 and 1 are the argument's address and length.
    pub(crate) configure: String,
    pub(crate) discover: String,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            imports: "",
            core_imports: "",
            items: "",
            configure: FINE.into(),
            discover: FINE.into(),
        }
    }
}

impl Guest {
    /// Writes the component to a file.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("guest.wasm");
        std::fs::write(&path, self.build()).unwrap();
        path
    }

    fn build(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        for package in ["host", "discovery"] {
            resolve.push_str(package, &wit(package)).unwrap();
        }
        let world = format!(
            "package test:guest; world guest {{ include convoke:discovery/mode@0.1.0; {} }}",
            self.imports
        );
        let package = resolve.push_str("guest", &world).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let mut module = wat::parse_str(self.text()).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
            .unwrap();
        ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
    }

    fn text(&self) -> String {
        let Self { core_imports, items, configure, discover, .. } = self;
        format!(
            r#"(module
                {core_imports}
                (memory (export "memory") 16)
                (global $heap (mut i32) (i32.const 0x10000))
                ;; The canonical ABI's arguments of one call, from the same place on in each.
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at
                        (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                    (global.set $heap (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                (data (i32.const 0x1100) "\01\00\00\00\00\00\00\00\00\13\00\00\02\00\00\00")
                (data (i32.const 0x1200) "\01\00\00\00\02\00\00\00\00\13\00\00\02\00\00\00")
                (data (i32.const 0x1300) "no")
                {items}
                (func (export "convoke:discovery/strategy@0.1.0#configure")
                    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                    {configure})
                (func (export "convoke:discovery/strategy@0.1.0#discover") (result i32)
                    (global.set $heap (i32.const 0x10000))
                    {discover}))"#
        )
    }
}

/// All files of one package of `wit/`, concatenated, with the package declaration once at the
/// start.
fn wit(package: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(package);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let header = format!("package convoke:{package}@0.1.0;");
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let bodies: String = texts.map(|text| text.replacen(&header, "", 1)).collect();
    format!("{header}\n{bodies}")
}
