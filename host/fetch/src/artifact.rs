//! A component in a registry: `registry[:port]/repository[:tag][@sha256:…]`.

use std::fmt;

use oci_client::{ParseError, Reference as Name};
use reqwest::Url;

use crate::http::is_loopback;
use crate::sha256::Sha256;

/// A component in a registry. Without tag and digest, its tag is `latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Artifact {
    name: Name,
    /// `https://registry`, or `http://` where the registry is on this machine.
    base: Url,
}

impl Artifact {
    /// Reads what follows the `oci://` of a reference; says what is wrong with it.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        let Some((registry, path)) = rest.split_once('/') else {
            return Err("it names no repository".into());
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

    /// The digest of the manifest, where the reference has one.
    pub(crate) fn manifest_digest(&self) -> Option<Sha256> {
        self.name.digest().and_then(Sha256::parse)
    }

    /// What the manifest is asked for by: its digest, else its tag.
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
    let strange = |c: char| !(c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    if registry.is_empty() {
        return Err("it names no registry".into());
    }
    if let Some(c) = registry.chars().find(|c| strange(*c)) {
        return Err(format!("its registry contains {c:?}"));
    }
    if registry.ends_with(':') {
        return Err("its registry has a colon and no port".into());
    }
    Ok(())
}

/// The library knows the grammar behind the registry, and the names that one
/// registry abbreviates. Of registries it knows only some: neither IPv6 nor a host
/// without a dot.
fn name(registry: &str, path: &str) -> Result<Name, String> {
    if !path.is_ascii() {
        return Err("its repository or tag is not ASCII".into());
    }
    if let Some((_, digest)) = path.split_once('@')
        && Sha256::parse(digest).is_none()
    {
        return Err("what follows the \"@\" is not \"sha256:\" and 64 hexadecimal digits".into());
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
            "a repository is lower-case letters and digits, parted by . _ - and /; a tag is up to \
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
