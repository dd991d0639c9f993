//! A table of figures: measured values, targets, and the values of other products.

/// The unit of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
    Mebibytes,
    Percent,
    Count,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Microseconds => format!("{value:.0} µs"),
            Self::Milliseconds if value >= 10_000.0 => format!("{:.1} s", value / 1_000.0),
            Self::Milliseconds => format!("{value:.0} ms"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Percent => format!("{value:.1} %"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

/// A figure, measured several times.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    pub(crate) runs: Vec<f64>,
    /// The target, an upper limit.
    pub(crate) target: Option<f64>,
    /// The figures of other products.
    pub(crate) others: &'static str,
}

/// All rows of a bench; each is printed when it is added.
#[derive(Debug, Default)]
pub(crate) struct Table {
    kept: Vec<(&'static str, bool)>,
}

impl Table {
    pub(crate) fn new() -> Self {
        print_cells(["what", "runs", "min", "median", "max", "target", "", "others"]);
        println!("{}", "-".repeat(130));
        Self::default()
    }

    pub(crate) fn add(&mut self, mut row: Row) {
        row.runs.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (row.runs.first(), row.runs.last()) else {
            print_cells([row.what, "0", "-", "-", "-", "-", "not measured", row.others]);
            return;
        };
        let (below, above) = ((row.runs.len() - 1) / 2, row.runs.len() / 2);
        let median = f64::midpoint(row.runs[below], row.runs[above]);
        let verdict = match row.target {
            None => "",
            Some(target) if max <= target => "kept",
            Some(target) if median <= target => "kept by half",
            Some(_) => "MISSED",
        };
        if let Some(target) = row.target {
            self.kept.push((row.what, median <= target));
        }
        let show = |value| row.unit.show(value);
        let target = row.target.map(show).unwrap_or_default();
        let runs = row.runs.len().to_string();
        let [min, median, max] = [min, median, max].map(show);
        print_cells([row.what, &runs, &min, &median, &max, &target, verdict, row.others]);
    }

    /// Prints how many figures meet their target.
    pub(crate) fn print_summary(&self) {
        let missed: Vec<&str> =
            self.kept.iter().filter(|(_, kept)| !kept).map(|(what, _)| *what).collect();
        let (kept, all) = (self.kept.len() - missed.len(), self.kept.len());
        println!("\n{kept} of {all} target figures are kept by the median");
        for what in missed {
            println!("missed: {what}");
        }
    }
}

fn print_cells(cells: [&str; 8]) {
    let [what, runs, min, median, max, target, verdict, others] = cells;
    println!(
        "{what:<44} {runs:>4} {min:>9} {median:>9} {max:>9} {target:>9} {verdict:<12}  {others}"
    );
}
