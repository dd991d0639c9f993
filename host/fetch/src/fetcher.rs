//! Fetches from the cache, or from the reference.

use std::path::PathBuf;

use bytes::Bytes;

use crate::cache::Cache;
use crate::error::{Cause, FetchError};
use crate::http::{Answer, Content, Get, Http, at};
use crate::limits::Limits;
use crate::reference::Reference;
use crate::registry::Registry;
use crate::sha256::Sha256;
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

    /// Fetches the bytes with the SHA-256 `digest`, at most [`Limits::bytes_max`].
    ///
    /// The cache is checked first: a cached component needs no network, and `reference` is not
    /// used. Failures to read or write the cache are logged as a warning, and do not affect the
    /// result.
    ///
    /// # Errors
    ///
    /// The bytes cannot be fetched within the limits, or have another digest.
    pub async fn fetch(
        &self,
        reference: &Reference,
        digest: [u8; 32],
    ) -> Result<Bytes, FetchError> {
        let pin = Sha256(digest);
        if let Some(bytes) = self.cached(pin).await {
            tracing::debug!(%reference, digest = %pin, "from the cache");
            return Ok(bytes);
        }
        let content = tokio::time::timeout(self.limits.fetch, self.download(reference, pin)).await;
        let bytes = content
            .unwrap_or(Err(Cause::Slow { after: self.limits.fetch }))
            .and_then(|content| check(content, pin))
            .map_err(|cause| FetchError { reference: reference.to_string(), cause })?;
        tracing::info!(%reference, digest = %pin, bytes = bytes.len(), "fetched");
        self.store(pin, bytes.clone()).await;
        Ok(bytes)
    }

    async fn download(&self, reference: &Reference, pin: Sha256) -> Result<Content, Cause> {
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

    async fn cached(&self, pin: Sha256) -> Option<Bytes> {
        let (cache, bytes_max) = (self.cache.clone()?, self.limits.bytes_max);
        tokio::task::spawn_blocking(move || cache.read(pin, bytes_max)).await.ok().flatten()
    }

    async fn store(&self, pin: Sha256, bytes: Bytes) {
        if let Some(cache) = self.cache.clone() {
            // Fails only during a shutdown of the runtime.
            let _ = tokio::task::spawn_blocking(move || cache.write(pin, &bytes)).await;
        }
    }
}

fn check(content: Content, pinned: Sha256) -> Result<Bytes, Cause> {
    if content.sha256 == pinned {
        Ok(content.bytes)
    } else {
        Err(Cause::Digest { found: content.sha256, pinned })
    }
}
