//! Fetches a component from an OCI registry: its manifest, then its only layer.
//!
//! The digest of the layer is that of the component, so that a component with another digest is
//! rejected before the download.

use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::artifact::Artifact;
use crate::digest::Digest;
use crate::error::Cause;
use crate::http::{Answer, Content, Get, Http, at};
use crate::limits::MANIFEST_BYTES_MAX;
use crate::manifest::{self, Found};
use crate::token;

const MANIFEST_MEDIA_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

pub(crate) struct Registry<'a> {
    http: &'a Http,
    artifact: &'a Artifact,
    /// The anonymous token, once the registry has required one.
    token: Option<HeaderValue>,
}

impl<'a> Registry<'a> {
    pub(crate) fn new(http: &'a Http, artifact: &'a Artifact) -> Self {
        Self { http, artifact, token: None }
    }

    /// The bytes of the layer with the digest `pin`.
    pub(crate) async fn component(
        &mut self,
        pin: Digest,
        bytes_max: u64,
    ) -> Result<Content, Cause> {
        let found = self.digest().await?;
        if found != pin {
            return Err(Cause::Digest { found, pinned: pin });
        }
        self.get(&format!("blobs/{pin}"), None, bytes_max).await
    }

    /// The digest of the component.
    async fn digest(&mut self) -> Result<Digest, Cause> {
        let (name, digest) = (self.artifact.manifest_name(), self.artifact.manifest_digest());
        let asked = match self.manifest(name, digest).await? {
            Found::Component(component) => return Ok(component),
            Found::Manifest(manifest) => manifest,
        };
        match self.manifest(&asked.to_string(), Some(asked)).await? {
            Found::Component(component) => Ok(component),
            Found::Manifest(_) => Err(Cause::Manifest(
                "it is an index of an index; select a manifest by its digest: \
                 oci://registry/repository@sha256:…"
                    .into(),
            )),
        }
    }

    async fn manifest(&mut self, name: &str, digest: Option<Digest>) -> Result<Found, Cause> {
        let path = format!("manifests/{name}");
        let content = self.get(&path, Some(MANIFEST_MEDIA_TYPES), MANIFEST_BYTES_MAX).await?;
        if let Some(asked) = digest
            && asked != content.digest
        {
            return Err(Cause::ManifestDigest { found: content.digest, asked });
        }
        manifest::read(&content.bytes)
    }

    async fn get(
        &mut self,
        path: &str,
        accept: Option<&str>,
        bytes_max: u64,
    ) -> Result<Content, Cause> {
        let url = self.url(path)?;
        let challenges = match self.ask(&url, accept, bytes_max).await? {
            Answer::Content(content) => return Ok(content),
            Answer::Unauthorized(challenges) => challenges,
        };
        if self.token.is_none()
            && let Some(token) = token::get(self.http, self.artifact, &challenges).await?
        {
            self.token = Some(token);
            if let Answer::Content(content) = self.ask(&url, accept, bytes_max).await? {
                return Ok(content);
            }
        }
        Err(Cause::Credentials { at: at(&url) })
    }

    async fn ask(&self, url: &Url, accept: Option<&str>, bytes_max: u64) -> Result<Answer, Cause> {
        let authorization = self.token.as_ref();
        self.http.get(&Get { url, accept, authorization, bytes_max }).await
    }

    fn url(&self, path: &str) -> Result<Url, Cause> {
        let path = format!("v2/{}/{path}", self.artifact.repository());
        self.artifact.base().join(&path).map_err(|error| Cause::Manifest(error.to_string()))
    }
}
