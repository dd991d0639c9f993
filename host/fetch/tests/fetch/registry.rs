//! A small registry: manifests by tag and digest, blobs, and optionally a token.

use std::collections::HashMap;

use crate::digest_text;
use crate::server::{Answer, Request, Server};

/// The token that the registry issues anonymously and then requires.
const TOKEN: &str = "an-anonymous-token";

#[derive(Clone, Default)]
pub(crate) struct Registry {
    manifests: HashMap<String, Vec<u8>>,
    blobs: HashMap<String, Vec<u8>>,
    challenge: Option<&'static str>,
}

impl Registry {
    /// Adds `manifest` under `tag` and its digest.
    pub(crate) fn manifest(mut self, tag: &str, manifest: &str) -> Self {
        self.manifests.insert(digest_text(manifest.as_bytes()), manifest.into());
        self.manifests.insert(tag.into(), manifest.into());
        self
    }

    /// Adds `bytes` under their digest.
    pub(crate) fn blob(self, bytes: &[u8]) -> Self {
        self.blob_as(&digest_text(bytes), bytes)
    }

    /// Adds `bytes` under a digest that may be wrong.
    pub(crate) fn blob_as(mut self, digest: &str, bytes: &[u8]) -> Self {
        self.blobs.insert(digest.into(), bytes.into());
        self
    }

    /// Requires authentication according to `challenge`; `{here}` in it is replaced by this
    /// registry's address.
    pub(crate) fn challenging(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    pub(crate) async fn start(self) -> Server {
        Server::start(None, move |request| self.answer(request)).await
    }

    fn answer(&self, request: &Request) -> Answer {
        let path = request.path.as_str();
        if path.starts_with("/token?") {
            return Answer::ok(format!("{{\"token\":\"{TOKEN}\"}}").as_bytes());
        }
        let wanted = format!("Bearer {TOKEN}");
        if let Some(challenge) = self.challenge
            && request.header("authorization") != Some(&wanted)
        {
            let here = format!("http://{}", request.header("host").expect("a host"));
            return Answer::status("401 Unauthorized", b"{}")
                .header("www-authenticate", &challenge.replace("{here}", &here));
        }
        let manifest = path.strip_prefix("/v2/shop/shelf/manifests/");
        let blob = path.strip_prefix("/v2/shop/shelf/blobs/");
        let found = match (manifest, blob) {
            (Some(name), _) => self.manifests.get(name),
            (_, Some(digest)) => self.blobs.get(digest),
            _ => None,
        };
        match found {
            Some(bytes) => Answer::ok(bytes),
            None => Answer::status(
                "404 Not Found",
                br#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such thing"}]}"#,
            ),
        }
    }
}

/// An image manifest with these layers: media type and content.
pub(crate) fn manifest(layers: &[(&str, &[u8])]) -> String {
    let layers: Vec<String> =
        layers.iter().map(|(media_type, bytes)| descriptor(media_type, bytes, "")).collect();
    let config = descriptor("application/vnd.wasm.config.v0+json", b"{}", "");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},"layers":[{}]}}"#,
        layers.join(",")
    )
}

/// An index of manifests: architecture and content.
pub(crate) fn index(manifests: &[(&str, &str)]) -> String {
    let manifests: Vec<String> = manifests
        .iter()
        .map(|(architecture, manifest)| {
            let platform =
                format!(r#","platform":{{"architecture":"{architecture}","os":"linux"}}"#);
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            descriptor(media_type, manifest.as_bytes(), &platform)
        })
        .collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        manifests.join(",")
    )
}

fn descriptor(media_type: &str, bytes: &[u8], more: &str) -> String {
    let (digest, size) = (digest_text(bytes), bytes.len());
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{more}}}"#)
}
