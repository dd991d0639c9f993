//! A component in an OCI registry: `registry[:port]/repository[:tag][@sha256:…]`.

use std::fmt;

use oci_client::{ParseError, Reference as Name};
use reqwest::Url;

use crate::digest::Digest;
use crate::http::is_loopback;

/// A component in an OCI registry. The tag defaults to `latest` if there is no tag and no
/// digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Artifact {
    name: Name,
    /// `https://registry`, or `http://` for a registry on this machine.
    base: Url,
}

impl Artifact {
    /// Parses the part of a reference after `oci://`.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        let Some((registry, path)) = rest.split_once('/') else {
            return Err("the repository is missing".into());
        };
        let registry = registry.to_ascii_lowercase();
        check_registry(&registry)?;
        let name = name(&registry, path)?;
        let base = base(name.resolve_registry())?;
        Ok(Self { name, base })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    pub(crate) fn repository(&self) -> &str {
        self.name.repository()
    }

    /// The digest of the manifest, if the reference has one.
    pub(crate) fn manifest_digest(&self) -> Option<Digest> {
        self.name.digest().and_then(|text| text.parse().ok())
    }

    /// The reference in the manifest request: the digest, or else the tag.
    pub(crate) fn manifest_name(&self) -> &str {
        self.name.digest().or(self.name.tag()).unwrap_or("latest")
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let is_invalid = |c: char| !(c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    if registry.is_empty() {
        return Err("the registry is missing".into());
    }
    if let Some(c) = registry.chars().find(|c| is_invalid(*c)) {
        return Err(format!("the registry contains {c:?}"));
    }
    if registry.ends_with(':') {
        return Err("the registry has a colon and no port".into());
    }
    Ok(())
}

/// The library parses the part after the registry, including the abbreviations of Docker Hub.
/// It does not accept all registry hosts: neither IPv6 literals nor host names without a dot.
fn name(registry: &str, path: &str) -> Result<Name, String> {
    if !path.is_ascii() {
        return Err("the repository or tag is not ASCII".into());
    }
    if let Some((_, digest)) = path.split_once('@')
        && digest.parse::<Digest>().is_err()
    {
        return Err("after \"@\", expected \"sha256:\" and 64 hexadecimal digits".into());
    }
    let abbreviates = matches!(registry, "docker.io" | "index.docker.io");
    let known = if abbreviates { registry } else { "localhost" };
    let name: Name = format!("{known}/{path}").parse().map_err(|error| explain(&error))?;
    if abbreviates {
        return Ok(name);
    }
    let (registry, repository) = (registry.to_owned(), name.repository().to_owned());
    let digest = name.digest().map(str::to_ascii_lowercase);
    Ok(match (name.tag().map(str::to_owned), digest) {
        (Some(tag), Some(digest)) => Name::with_tag_and_digest(registry, repository, tag, digest),
        (None, Some(digest)) => Name::with_digest(registry, repository, digest),
        (tag, None) => Name::with_tag(registry, repository, tag.unwrap_or("latest".into())),
    })
}

fn explain(error: &ParseError) -> String {
    match error {
        ParseError::ReferenceInvalidFormat => {
            "a repository consists of lower-case letters and digits, separated by . _ - and /; a tag of up to \
             128 letters, digits and . _ -"
                .into()
        }
        other => other.to_string(),
    }
}

fn base(registry: &str) -> Result<Url, String> {
    let url = |scheme: &str| {
        Url::parse(&format!("{scheme}://{registry}/")).map_err(|error| error.to_string())
    };
    let plain = url("http")?;
    if is_loopback(&plain) { Ok(plain) } else { url("https") }
}
