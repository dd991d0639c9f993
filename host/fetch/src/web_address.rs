//! A file on a web server: `https://host[:port]/path`.

use std::fmt;

use reqwest::Url;

/// The HTTPS URL of a file. It has a path, and no user and no fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebAddress(Url);

impl WebAddress {
    /// Parses the part of a reference after `https://`.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        if rest.starts_with('/') {
            return Err("the host is missing".into());
        }
        let url = Url::parse(&format!("https://{rest}")).map_err(|error| error.to_string())?;
        if url.path() == "/" {
            return Err("the path is missing".into());
        }
        Ok(Self(url))
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}
