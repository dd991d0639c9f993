//! Access to a mode's configuration, with error texts for the operator.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::{ModeConfig, Problem, quoted};

impl ModeConfig {
    /// A configuration with this argument and no settings, for tests.
    ///
    /// ```
    /// use convoke_mode_sdk::ModeConfig;
    ///
    /// let config = ModeConfig::of("10.0.0.7").with("port", "6900");
    /// assert_eq!(config.argument, "10.0.0.7");
    /// assert_eq!(config.setting("port"), Some("6900"));
    /// ```
    pub fn of(argument: impl Into<String>) -> Self {
        Self { argument: argument.into(), settings: Vec::new() }
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.settings.push((name.into(), value.to_string()));
        self
    }

    /// The value of a setting; `None` if it is not set.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a required setting. If it is missing or empty, the error is
    /// [`Problem::Misconfigured`].
    ///
    /// ```
    /// use convoke_mode_sdk::{ModeConfig, Problem};
    ///
    /// let config = ModeConfig::of("").with("service", "shop");
    /// assert_eq!(config.required("service"), Ok("shop"));
    /// let text = "the setting service is missing; give it a value in settings".to_owned();
    /// assert_eq!(ModeConfig::of("").required("service"), Err(Problem::Misconfigured(text)));
    /// ```
    pub fn required(&self, name: &str) -> Result<&str, Problem> {
        self.setting(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            Problem::Misconfigured(format!(
                "the setting {name} is missing; give it a value in settings"
            ))
        })
    }

    /// A setting, parsed as another type; `None` if it is not set. If it cannot be parsed, the
    /// error is [`Problem::Misconfigured`], with `expected` as the description of valid values.
    ///
    /// ```
    /// use convoke_mode_sdk::ModeConfig;
    /// use std::net::IpAddr;
    ///
    /// let config = ModeConfig::of("").with("server", "10.0.0.300");
    /// let problem = config.parsed::<IpAddr>("server", "an IP address").unwrap_err();
    /// assert_eq!(problem.text(), "\"10.0.0.300\" is not an IP address (in server = 10.0.0.300)");
    /// assert_eq!(config.parsed::<IpAddr>("other", "an IP address"), Ok(None));
    /// ```
    pub fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let read =
            |value: &str| value.parse().map_err(|_| refused(name, value, "is not", expected));
        self.setting(name).map(read).transpose()
    }

    /// A numeric setting within a range; `None` if it is not set. For any other value the error
    /// is [`Problem::Misconfigured`].
    ///
    /// ```
    /// use convoke_mode_sdk::ModeConfig;
    ///
    /// let config = ModeConfig::of("").with("wait-s", 5).with("port", 0);
    /// assert_eq!(config.number("wait-s", 0..=8), Ok(Some(5)));
    /// let problem = config.number("port", 1..=u16::MAX).unwrap_err();
    /// assert_eq!(problem.text(), "\"0\" is not a number from 1 to 65535 (in port = 0)");
    /// ```
    pub fn number<N>(&self, name: &str, within: RangeInclusive<N>) -> Result<Option<N>, Problem>
    where
        N: FromStr + PartialOrd + Display,
    {
        let Some(value) = self.setting(name) else { return Ok(None) };
        let number = value.parse().ok().filter(|number| within.contains(number));
        number.map(Some).ok_or_else(|| {
            let expected = format!("a number from {} to {}", within.start(), within.end());
            refused(name, value, "is not", &expected)
        })
    }

    /// A boolean setting; `default` if it is not set. If it is neither `true` nor `false`, the
    /// error is [`Problem::Misconfigured`].
    ///
    /// ```
    /// use convoke_mode_sdk::ModeConfig;
    ///
    /// let config = ModeConfig::of("").with("ready", "yes");
    /// assert_eq!(config.flag("other", true), Ok(true));
    /// let problem = config.flag("ready", false).unwrap_err();
    /// assert_eq!(problem.text(), "\"yes\" is neither true nor false (in ready = yes)");
    /// ```
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.setting(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(value) => Err(refused(name, value, "is neither", "true nor false")),
        }
    }

    /// Rejects settings other than `names`, so that a misspelt setting is not ignored silently.
    ///
    /// ```
    /// use convoke_mode_sdk::ModeConfig;
    ///
    /// let config = ModeConfig::of("").with("prefx", "members/");
    /// let problem = config.only(&["prefix", "port"]).unwrap_err();
    /// assert_eq!(problem.text(), "\"prefx\" is not a setting of this mode; expected prefix or port");
    /// assert!(config.only(&["prefx"]).is_ok());
    /// ```
    pub fn only(&self, names: &[&str]) -> Result<(), Problem> {
        match self.settings.iter().find(|(key, _)| !names.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) => Err(Problem::Misconfigured(format!(
                "{} is not a setting of this mode; {}",
                quoted(key),
                expected(names)
            ))),
        }
    }
}

fn refused(name: &str, value: &str, verdict: &str, expected: &str) -> Problem {
    let shown = quoted(value);
    // Quoted only once: the second occurrence is shown as written.
    let written = &shown[1..shown.len() - 1];
    Problem::Misconfigured(format!("{shown} {verdict} {expected} (in {name} = {written})"))
}

/// `expected a, b or c`.
fn expected(names: &[&str]) -> String {
    match names {
        [] => "it has no settings".to_owned(),
        [name] => format!("expected {name}"),
        [names @ .., last] => format!("expected {} or {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_without_settings_rejects_all() {
        let config = ModeConfig::of("").with("a", 1);
        assert_eq!(
            config.only(&[]).unwrap_err().text(),
            "\"a\" is not a setting of this mode; it has no settings"
        );
        assert_eq!(
            config.only(&["x", "y", "z"]).unwrap_err().text(),
            "\"a\" is not a setting of this mode; expected x, y or z"
        );
    }

    #[test]
    fn values_are_shown_escaped_and_cut() {
        let config = ModeConfig::of("").with("port", "1\n2").with("wait", "x".repeat(200));
        assert_eq!(
            config.number("port", 1..=9).unwrap_err().text(),
            "\"1\\n2\" is not a number from 1 to 9 (in port = 1\\n2)"
        );
        assert!(config.number("wait", 1..=9).unwrap_err().text().len() < 250);
    }

    #[test]
    fn an_empty_required_value_counts_as_missing() {
        assert!(ModeConfig::of("").with("service", "").required("service").is_err());
    }
}
