//! Finds the component in a manifest or an index.

use convoke_text::excerpt;
use oci_client::manifest::{
    ImageIndexEntry, OciDescriptor, OciImageIndex, OciImageManifest, OciManifest,
    WASM_LAYER_MEDIA_TYPE,
};

use crate::digest::Digest;
use crate::error::Cause;
use crate::limits::EXCERPT_CHARS_MAX;

/// Media types of component layers: the Wasm OCI artifact's, and that of older tools.
const COMPONENT_MEDIA_TYPES: [&str; 2] = ["application/wasm", WASM_LAYER_MEDIA_TYPE];

/// The result of reading a manifest or an index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Component(Digest),
    /// The only manifest for WebAssembly in an index.
    Manifest(Digest),
}

/// Reads a manifest or an index.
pub(crate) fn read(json: &[u8]) -> Result<Found, Cause> {
    match serde_json::from_slice(json) {
        Ok(OciManifest::Image(manifest)) => component(&manifest).map(Found::Component),
        Ok(OciManifest::ImageIndex(index)) => chosen(&index).map(Found::Manifest),
        Err(_) => Err(Cause::Manifest(
            "the response of the registry is not an image manifest; check that the reference names an OCI \
             artifact"
                .into(),
        )),
    }
}

fn component(manifest: &OciImageManifest) -> Result<Digest, Cause> {
    let is_component =
        |layer: &&OciDescriptor| COMPONENT_MEDIA_TYPES.contains(&layer.media_type.as_str());
    let components: Vec<_> = manifest.layers.iter().filter(is_component).collect();
    match components[..] {
        [layer] => digest(&layer.digest),
        [] => Err(Cause::Manifest(format!(
            "it contains no component: its layers are {}; expected one of {}",
            listed(manifest.layers.iter().map(|layer| layer.media_type.as_str())),
            COMPONENT_MEDIA_TYPES.join(" or "),
        ))),
        _ => Err(Cause::Manifest(format!(
            "it contains {} components; expected exactly one layer of {}",
            components.len(),
            COMPONENT_MEDIA_TYPES.join(" or "),
        ))),
    }
}

fn chosen(index: &OciImageIndex) -> Result<Digest, Cause> {
    let for_wasm: Vec<_> = index.manifests.iter().filter(|entry| is_for_wasm(entry)).collect();
    match for_wasm[..] {
        [entry] => digest(&entry.digest),
        _ => Err(Cause::Manifest(format!(
            "it is an index of {} manifests, {} of them for WebAssembly; select one by \
             its digest: oci://registry/repository@sha256:…",
            index.manifests.len(),
            for_wasm.len(),
        ))),
    }
}

fn is_for_wasm(entry: &ImageIndexEntry) -> bool {
    let platform =
        entry.platform.as_ref().is_some_and(|p| p.architecture.to_string().starts_with("wasm"));
    let artifact = entry.artifact_type.as_deref().is_some_and(|artifact| {
        COMPONENT_MEDIA_TYPES.contains(&artifact)
            || artifact.starts_with("application/vnd.wasm.config.")
    });
    platform || artifact
}

fn digest(text: &str) -> Result<Digest, Cause> {
    text.parse().map_err(|_| {
        Cause::Manifest(format!(
            "its manifest has the digest {:?}; expected \"sha256:\" and 64 hexadecimal digits",
            excerpt(text, EXCERPT_CHARS_MAX)
        ))
    })
}

fn listed<'a>(media_types: impl Iterator<Item = &'a str>) -> String {
    let listed: Vec<_> = media_types.collect();
    if listed.is_empty() { "none".into() } else { excerpt(&listed.join(", "), EXCERPT_CHARS_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The component is one of the layers, whatever else a registry returns.
    #[test]
    fn fuzz_manifest() {
        const DIGEST: &str =
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let layer = |media_type: &str| {
            format!(r#"{{"mediaType": "{media_type}", "digest": "{DIGEST}", "size": 8}}"#)
        };
        let config = layer("application/vnd.wasm.config.v0+json");
        let manifest = |layers: &str| {
            format!(
                r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {config}, "layers": [{layers}], "annotations": {{"a": "b"}}}}"#
            )
        };
        let entry = format!(
            r#"{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "{DIGEST}",
            "size": 8, "platform": {{"architecture": "wasm", "os": "wasip2"}}}}"#
        );
        let samples = [
            manifest(&layer("application/wasm")),
            manifest(&format!("{}, {}", layer("text/plain"), layer(WASM_LAYER_MEDIA_TYPE))),
            manifest(""),
            format!(
                r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [{entry}]}}"#
            ),
            "[".repeat(200),
        ];
        assert!(matches!(read(samples[0].as_bytes()), Ok(Found::Component(_))));
        assert!(matches!(read(samples[3].as_bytes()), Ok(Found::Manifest(_))));
        convoke_harness::check!(&samples, |json| match read(json) {
            Ok(Found::Component(digest) | Found::Manifest(digest)) => {
                let text = String::from_utf8_lossy(json).to_ascii_lowercase();
                // The digits may be escaped.
                assert!(text.contains(&digest.digits()) || text.contains('\\'), "{digest}");
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        });
    }
}
