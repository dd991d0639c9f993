//! What `wit/` says, as Rust: one small world for each direction.
#![allow(unsafe_code, reason = "wasmtime's macro writes typed calls into a component")]
#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "written by a macro")]

/// What a mode may import: a line here for each capability.
pub(crate) mod imports {
    wasmtime::component::bindgen!({
        path: ["../../wit/host", "../../wit/discovery"],
        inline: "
            package convoke:linking;
            world capabilities {
                import convoke:host/dns@0.1.0;
                import convoke:host/kubernetes@0.1.0;
                import convoke:host/log@0.1.0;
                import convoke:host/multicast@0.1.0;
                import convoke:host/probe@0.1.0;
                import convoke:host/store@0.1.0;
            }
        ",
        world: "convoke:linking/capabilities",
        imports: { default: async | trappable },
        with: {
            "convoke:host/multicast.group": crate::capability::multicast::Group,
        },
    });
}

/// What every mode exports.
pub(crate) mod strategy {
    wasmtime::component::bindgen!({
        path: ["../../wit/host", "../../wit/discovery"],
        inline: "
            package convoke:linking;
            world finder { export convoke:discovery/strategy@0.1.0; }
        ",
        world: "convoke:linking/finder",
        exports: { default: async },
    });
}

/// What a mode exports as well when it makes this member known.
pub(crate) mod announcer {
    wasmtime::component::bindgen!({
        path: ["../../wit/host", "../../wit/discovery"],
        inline: "
            package convoke:linking;
            world speaker { export convoke:discovery/announcer@0.1.0; }
        ",
        world: "convoke:linking/speaker",
        exports: { default: async },
        with: {
            "convoke:discovery/types": super::strategy::convoke::discovery::types,
        },
    });
}

pub(crate) use strategy::convoke::discovery::types;
