//! Fetches from the cache, or from the reference.

use std::path::PathBuf;

use bytes::Bytes;

use crate::cache::Cache;
use crate::digest::Digest;
use crate::error::{Cause, FetchError};
use crate::http::{Answer, Content, Get, Http, at};
use crate::limits::Limits;
use crate::reference::Reference;
use crate::registry::Registry;
use crate::web_address::WebAddress;

/// Fetches components by their digest.
#[derive(Clone, Debug)]
pub struct Fetcher {
    cache: Option<Cache>,
    limits: Limits,
}

impl Fetcher {
    /// Caches components in `cache_dir`, as `<64 digits>.wasm`; `None` disables the cache. The
    /// folder is created when it is needed.
    pub fn new(cache_dir: Option<PathBuf>, limits: Limits) -> Self {
        Self { cache: cache_dir.map(Cache::new), limits }
    }

    /// Fetches the bytes with `digest`, at most [`Limits::bytes_max`].
    ///
    /// The cache is checked first: a cached component needs no network, and `reference` is not
    /// used. Failures to read or write the cache are logged as a warning, and do not affect the
    /// result.
    ///
    /// # Errors
    ///
    /// The bytes cannot be fetched within the limits, or have another digest.
    pub async fn fetch(&self, reference: &Reference, digest: Digest) -> Result<Bytes, FetchError> {
        if let Some(bytes) = self.cached(digest).await {
            tracing::debug!(%reference, %digest, "from the cache");
            return Ok(bytes);
        }
        let content =
            tokio::time::timeout(self.limits.fetch, self.download(reference, digest)).await;
        let bytes = content
            .unwrap_or(Err(Cause::Slow { after: self.limits.fetch }))
            .and_then(|content| check(content, digest))
            .map_err(|cause| FetchError { reference: reference.to_string(), cause })?;
        tracing::info!(%reference, %digest, bytes = bytes.len(), "fetched");
        self.store(digest, bytes.clone()).await;
        Ok(bytes)
    }

    async fn download(&self, reference: &Reference, pin: Digest) -> Result<Content, Cause> {
        let http = Http::new(self.limits);
        match reference {
            Reference::Https(address) => self.file(&http, address).await,
            Reference::Oci(artifact) => {
                Registry::new(&http, artifact).component(pin, self.limits.bytes_max).await
            }
        }
    }

    async fn file(&self, http: &Http, address: &WebAddress) -> Result<Content, Cause> {
        let url = address.url();
        let bytes_max = self.limits.bytes_max;
        match http.get(&Get { url, accept: None, authorization: None, bytes_max }).await? {
            Answer::Content(content) => Ok(content),
            Answer::Unauthorized(_) => Err(Cause::Credentials { at: at(url) }),
        }
    }

    async fn cached(&self, pin: Digest) -> Option<Bytes> {
        let (cache, bytes_max) = (self.cache.clone()?, self.limits.bytes_max);
        tokio::task::spawn_blocking(move || cache.read(pin, bytes_max)).await.ok().flatten()
    }

    async fn store(&self, pin: Digest, bytes: Bytes) {
        if let Some(cache) = self.cache.clone() {
            // Fails only during a shutdown of the runtime.
            let _ = tokio::task::spawn_blocking(move || cache.write(pin, &bytes)).await;
        }
    }
}

fn check(content: Content, pinned: Digest) -> Result<Bytes, Cause> {
    if content.digest == pinned {
        Ok(content.bytes)
    } else {
        Err(Cause::Digest { found: content.digest, pinned })
    }
}
