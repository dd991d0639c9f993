//! Bindings generated from `wit/`: one module for each optional part, all of which share the
//! types of the first. Unused modules do not become part of a component: unused imports are
//! dropped when it is created, and exports exist only where
//! [`export_mode!`](crate::export_mode) creates them.
//!
//! `wit` beside this crate's manifest is a link to the interfaces in the repository, or a copy
//! of them if this crate is a copy.
#![allow(missing_docs, unsafe_code, unused_qualifications, reason = "generated code")]

/// The interface that every mode exports, and `log`.
pub mod strategy {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/discovery"],
        world: "convoke:discovery/mode",
        pub_export_macro: true,
        export_macro_name: "export_strategy",
        default_bindings_module: "convoke_mode_sdk::glue::strategy",
        additional_derives: [PartialEq],
        generate_all,
    });
}

/// The optional interface of modes that announce members.
pub mod announcer {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/discovery"],
        inline: "
            package convoke:mode-sdk;
            world announcing { export convoke:discovery/announcer@0.1.0; }
        ",
        with: {
            "convoke:discovery/types@0.1.0": crate::bindings::strategy::convoke::discovery::types,
        },
        pub_export_macro: true,
        export_macro_name: "export_announcer",
        default_bindings_module: "convoke_mode_sdk::glue::announcer",
    });
}

/// The capabilities that a mode may be granted.
pub(crate) mod capabilities {
    wit_bindgen::generate!({
        path: "wit/host",
        inline: "
            package convoke:mode-sdk;
            world capabilities {
                import convoke:host/dns@0.1.0;
                import convoke:host/kubernetes@0.1.0;
                import convoke:host/multicast@0.1.0;
                import convoke:host/probe@0.1.0;
                import convoke:host/store@0.1.0;
            }
        ",
        additional_derives: [PartialEq],
        generate_all,
    });
}

/// The interfaces that [`http`](crate::http) is based on.
#[cfg(all(feature = "http", target_arch = "wasm32"))]
pub(crate) mod wasi {
    wit_bindgen::generate!({
        // One package per file, in order of their dependencies.
        path: [
            "wit/deps/io.wit",
            "wit/deps/clocks.wit",
            "wit/deps/random.wit",
            "wit/deps/filesystem.wit",
            "wit/deps/sockets.wit",
            "wit/deps/cli.wit",
            "wit/deps/http.wit",
        ],
        inline: "
            package convoke:mode-sdk;
            world client {
                import wasi:clocks/monotonic-clock@0.2.12;
                import wasi:io/poll@0.2.12;
                import wasi:http/outgoing-handler@0.2.12;
            }
        ",
        generate_all,
    });
}
