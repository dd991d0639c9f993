//! Writes the text format of Prometheus, version 0.0.4.
//!
//! The crate `prometheus-client` is not used: it only writes OpenMetrics. There, the family of a
//! counter has no `_total` (`# TYPE convoke_members_lost counter`), and bounds of buckets are
//! written differently (`le="1.0"` instead of `le="1"`), which makes them other time series;
//! clients that only support 0.0.4 could not read it. A registry would also have to be filled for
//! each request, since most values are in other crates or change with the maps and modes.

use std::fmt::{Display, Write as _};

/// The prefix of all names.
const PREFIX: &str = "convoke_";

/// The type of a metric.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A value that may increase and decrease.
    Gauge,
    /// A value that only increases while the process runs.
    Counter,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Adds a metric that has one value.
    pub(super) fn value(&mut self, kind: Kind, name: &str, help: &str, value: u64) {
        self.head(kind.name(), name, help);
        self.sample(name, None, value);
    }

    /// Adds a metric that has one value for each value of a label.
    pub(super) fn labelled<'a>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.head(kind.name(), name, help);
        for (of, value) in values {
            self.sample(name, Some((label, of)), value);
        }
    }

    /// Adds a histogram: for each bucket, its upper bound, if it has one, and the number of values
    /// in it alone.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: impl IntoIterator<Item = (Option<f64>, u64)>,
        sum: f64,
    ) {
        self.head("histogram", name, help);
        let mut total = 0;
        for (bound, count) in buckets {
            // Each bucket counts all values up to its bound.
            total += count;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            self.sample(&format!("{name}_bucket"), Some(("le", &bound)), total);
        }
        self.sample(&format!("{name}_sum"), None, sum);
        self.sample(&format!("{name}_count"), None, total);
    }

    /// The complete text.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: impl Display) {
        let Self(text) = self;
        let _ = write!(text, "{PREFIX}{name}");
        if let Some((label, of)) = label {
            let _ = write!(text, "{{{label}=\"");
            for c in of.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push_str("\"}");
        }
        let _ = writeln!(text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Exposition, Kind};

    #[test]
    fn a_metric_has_its_help_and_type_before_its_values() {
        let mut text = Exposition::default();
        text.value(Kind::Counter, "lost_total", "Members that were lost.", 7);
        text.labelled(Kind::Gauge, "bytes", "Bytes.", "map", [("a", 1), ("b", 2)]);
        text.labelled(Kind::Gauge, "none", "None.", "map", []);
        assert_eq!(
            text.finish(),
            "# HELP convoke_lost_total Members that were lost.\n\
             # TYPE convoke_lost_total counter\n\
             convoke_lost_total 7\n\
             # HELP convoke_bytes Bytes.\n\
             # TYPE convoke_bytes gauge\n\
             convoke_bytes{map=\"a\"} 1\n\
             convoke_bytes{map=\"b\"} 2\n\
             # HELP convoke_none None.\n\
             # TYPE convoke_none gauge\n"
        );
    }

    #[test]
    fn a_label_may_hold_any_text() {
        let mut text = Exposition::default();
        text.labelled(Kind::Gauge, "x", "X.", "map", [("a\"} 1\nb \\n", 3)]);
        let text = text.finish();
        assert_eq!(text.lines().last(), Some("convoke_x{map=\"a\\\"} 1\\nb \\\\n\"} 3"));
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn a_histogram_counts_cumulatively() {
        let mut text = Exposition::default();
        let buckets = [(Some(0.000_05), 2), (Some(0.000_075), 1), (Some(1.0), 0), (None, 1)];
        text.histogram("x_seconds", "X.", buckets, 2.000_2);
        assert_eq!(
            text.finish(),
            "# HELP convoke_x_seconds X.\n\
             # TYPE convoke_x_seconds histogram\n\
             convoke_x_seconds_bucket{le=\"0.00005\"} 2\n\
             convoke_x_seconds_bucket{le=\"0.000075\"} 3\n\
             convoke_x_seconds_bucket{le=\"1\"} 3\n\
             convoke_x_seconds_bucket{le=\"+Inf\"} 4\n\
             convoke_x_seconds_sum 2.0002\n\
             convoke_x_seconds_count 4\n"
        );
    }
}
