//! Bindings generated from `wit/`: one small WIT world for each direction.
#![allow(unsafe_code, reason = "wasmtime's macro writes typed calls into a component")]
#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "written by a macro")]

/// The interfaces that a mode may import, one line for each capability.
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
    });
}

/// The interface that every mode exports.
pub(crate) mod strategy {
    wasmtime::component::bindgen!({
        path: ["../../wit/host", "../../wit/discovery"],
        inline: "
            package convoke:linking;
            world strategy-export { export convoke:discovery/strategy@0.1.0; }
        ",
        world: "convoke:linking/strategy-export",
        exports: { default: async },
    });
}

/// The optional export of modes that announce this member.
pub(crate) mod announcer {
    wasmtime::component::bindgen!({
        path: ["../../wit/host", "../../wit/discovery"],
        inline: "
            package convoke:linking;
            world announcer-export { export convoke:discovery/announcer@0.1.0; }
        ",
        world: "convoke:linking/announcer-export",
        exports: { default: async },
        with: {
            "convoke:discovery/types": super::strategy::convoke::discovery::types,
        },
    });
}

pub(crate) use strategy::convoke::discovery::types;
