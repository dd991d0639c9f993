//! Generated from `wit/`: one module for each thing a mode may opt into, all
//! sharing the types of the first. A module that a mode does not touch leaves
//! nothing in its component: unused imports are dropped when the component is
//! made, and exports exist only where [`export_mode!`](crate::export_mode) puts
//! them.
#![allow(missing_docs, unsafe_code, unused_qualifications, reason = "generated code")]

/// What every mode exports, and `log`.
pub mod strategy {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/discovery"],
        world: "convoke:discovery/mode",
        pub_export_macro: true,
        export_macro_name: "export_strategy",
        default_bindings_module: "convoke_mode_sdk::glue::strategy",
        additional_derives: [PartialEq],
        generate_all,
    });
}

/// What a mode exports besides when members make themselves known.
pub mod announcer {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/discovery"],
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

/// What a mode may be granted.
pub(crate) mod capabilities {
    wit_bindgen::generate!({
        path: "../../wit/host",
        inline: "
            package convoke:mode-sdk;
            world capabilities {
                import convoke:host/dns@0.1.0;
                import convoke:host/kubernetes@0.1.0;
                import convoke:host/multicast@0.1.0;
                import convoke:host/probe@0.1.0;
            }
        ",
        additional_derives: [PartialEq],
        generate_all,
    });
}
