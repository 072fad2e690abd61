//! The one shape of every bench's result: rows, for people and for programs.
//!
//! docs/benchmarks.md documents the names of the rows; they are stable.

use std::{fs, io::Write as _};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// What one bench measured, and where.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    bench: &'static str,
    kernel: String,
    cpu: String,
    rows: Vec<Row>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    name: String,
    /// The median of the rounds.
    value: f64,
    unit: &'static str,
    /// The best and the worst round.
    low: f64,
    high: f64,
    /// The row that it is compared with, and its value in terms of that one.
    vs: Option<String>,
    ratio: Option<f64>,
    /// The ratio that must not be exceeded, or be reached where more is better; without a ratio, the value that must not
    /// be exceeded. And whether that is so.
    target: Option<f64>,
    ok: Option<bool>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A figure by its rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one; 0 if there was none.
    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, rounds: &Rounds) -> Self {
        let first = rounds.0.first().copied().unwrap_or_default();
        let last = rounds.0.last().copied().unwrap_or_default();
        Self {
            name: name.into(),
            value: rounded(rounds.median()),
            unit,
            low: rounded(first),
            high: rounded(last),
            vs: None,
            ratio: None,
            target: None,
            ok: None,
            note: None,
        }
    }

    /// A row of somebody who is not there: without a value, `null` in JSON.
    pub(crate) fn missing(name: impl Into<String>, unit: &'static str, program: &str) -> Self {
        Self::without(name, unit, format!("{program} is not there"))
    }

    /// A row without a value, and why.
    fn without(name: impl Into<String>, unit: &'static str, note: String) -> Self {
        Self {
            value: f64::NAN,
            low: f64::NAN,
            high: f64::NAN,
            note: Some(note),
            ..Self::new(name, unit, &Rounds::default())
        }
    }

    /// The row of a bench among those of others.
    fn under(self, bench: &str) -> Self {
        Self {
            name: format!("{bench}/{}", self.name),
            vs: self.vs.map(|vs| format!("{bench}/{vs}")),
            ..self
        }
    }

    /// Compares with another figure of the same run.
    pub(crate) fn versus(mut self, vs: &str, floor: &Rounds, target: Option<f64>) -> Self {
        let ratio = rounded(self.value / floor.median());
        self.vs = Some(vs.to_owned());
        self.ratio = Some(ratio);
        self.target = target;
        self.ok = target.map(|target| ratio <= target);
        self
    }

    /// The same where more is better.
    pub(crate) fn at_least(self, vs: &str, floor: &Rounds, target: Option<f64>) -> Self {
        let row = self.versus(vs, floor, target);
        let reached = row.ratio.zip(target).map(|(ratio, target)| ratio >= target);
        Self { ok: reached, ..row }
    }

    /// Gives it a target of its own, in its unit.
    pub(crate) fn at_most(mut self, target: f64) -> Self {
        self.target = Some(target);
        self.ok = Some(self.value <= target);
        self
    }

    /// Falls short, reaches its target, has none.
    fn order(&self) -> u8 {
        match self.ok {
            Some(false) => 0,
            Some(true) => 1,
            None => 2,
        }
    }
}

impl Report {
    pub(crate) fn new(bench: &'static str, rows: Vec<Row>) -> Self {
        Self {
            bench,
            kernel: kernel(),
            cpu: cpu(),
            rows,
        }
    }

    /// Several benches as one: each row's name begins with its bench's.
    ///
    /// # Errors
    /// Where none of them could be measured: the first one's.
    pub(crate) fn together(bench: &'static str, reports: impl Iterator<Item = (String, Result<Self>)>) -> Result<Self> {
        let (mut rows, mut measured, mut first) = (Vec::new(), 0, None);
        for (name, report) in reports {
            match report {
                Ok(report) => {
                    measured += 1;
                    rows.extend(report.rows.into_iter().map(|row| row.under(&name)));
                }
                Err(error) => {
                    rows.push(Row::without(name.clone(), "", format!("it failed: {error:#}")));
                    first = first.or_else(|| Some(error.context(format!("bench {name}"))));
                }
            }
        }
        match first {
            Some(error) if measured == 0 => Err(error),
            _ => Ok(Self::new(bench, rows)),
        }
    }

    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let text = if json {
            let mut text = serde_json::to_string_pretty(self).context("failed to write JSON")?;
            text.push('\n');
            text
        } else {
            self.table()
        };
        std::io::stdout().write_all(text.as_bytes()).context("failed to print")
    }

    fn table(&self) -> String {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.order());
        let mut text = format!("{}: kernel {}, {}\n\n", self.bench, self.kernel, self.cpu);
        text.push_str(&format!(
            "{:<34} {:>10} {:<4} {:>19}  {:>7} {:<11} {:>6}\n",
            "", "median", "", "lowest - highest", "ratio", "to", "target"
        ));
        for row in rows {
            text.push_str(&line(row));
        }
        text
    }
}

fn line(row: &Row) -> String {
    if let Some(note) = &row.note {
        return format!("{:<34} {:>10} {:<4} {note}\n", row.name, "-", row.unit);
    }
    let spread = format!("{:.1} - {:.1}", row.low, row.high);
    let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    let target = row.target.map(|target| format!("{target:.2}")).unwrap_or_default();
    let verdict = match row.ok {
        Some(false) => "falls short",
        Some(true) => "ok",
        None => "",
    };
    let line = format!(
        "{:<34} {:>10.1} {:<4} {:>19}  {:>7} {:<11} {:>6}  {verdict}",
        row.name,
        row.value,
        row.unit,
        spread,
        ratio,
        row.vs.as_deref().unwrap_or_default(),
        target
    );
    format!("{}\n", line.trim_end())
}

/// Two digits behind the point say all that the noise leaves.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn kernel() -> String {
    read("/proc/sys/kernel/osrelease").trim().to_owned()
}

fn cpu() -> String {
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or("unknown").trim_start_matches([' ', '\t', ':']);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model} ({threads} threads)")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(values: &[f64]) -> Rounds {
        let mut rounds = Rounds::default();
        values.iter().for_each(|value| rounds.push(*value));
        rounds
    }

    #[test]
    fn a_row_is_the_median_with_its_spread() {
        let floor = rounds(&[8.0]);
        let row = Row::new("clean", "ns", &rounds(&[14.0, 12.0, 99.0]));
        let row = row.versus("floor/pass", &floor, Some(1.5));
        assert_eq!((row.value, row.low, row.high), (14.0, 12.0, 99.0));
        assert_eq!((row.ratio, row.ok), (Some(1.75), Some(false)));
    }

    #[test]
    fn json_has_the_documented_keys() {
        let row = Row::new("clean", "ns", &rounds(&[1.0]));
        let json = serde_json::to_value(Report::new("packet", vec![row])).unwrap();
        let row = json["rows"][0].as_object().unwrap();
        for key in ["name", "value", "unit", "low", "high", "vs", "ratio", "target", "ok"] {
            assert!(row.contains_key(key), "{key}");
        }
        assert!(row["ok"].is_null());
    }

    #[test]
    fn whoever_is_not_there_says_so() {
        let report = Report::new("packet", vec![Row::missing("load/ipset/1000", "ms", "ipset")]);
        let json = serde_json::to_value(&report).unwrap();
        assert!(json["rows"][0]["value"].is_null());
        assert!(report.table().contains("ipset is not there"));
    }

    #[test]
    fn one_that_fails_leaves_the_others() {
        let row = Row::new("clean", "ns", &rounds(&[1.0])).versus("floor", &rounds(&[1.0]), None);
        let reports = [
            ("packet".to_owned(), Ok(Report::new("packet", vec![row]))),
            ("front".to_owned(), Err(anyhow::anyhow!("no nginx"))),
        ];
        let all = Report::together("all", reports.into_iter()).unwrap();
        assert_eq!(all.rows[0].name, "packet/clean");
        assert_eq!(all.rows[0].vs.as_deref(), Some("packet/floor"));
        assert_eq!(all.rows[1].note.as_deref(), Some("it failed: no nginx"));
        let none = [("front".to_owned(), Err(anyhow::anyhow!("no nginx")))];
        assert!(Report::together("all", none.into_iter()).is_err());
    }

    #[test]
    fn more_may_be_better() {
        let floor = rounds(&[2.0]);
        let row = |value| Row::new("traffic", "Mpps", &rounds(&[value])).at_least("nft", &floor, Some(3.5));
        assert_eq!((row(8.0).ok, row(6.0).ok), (Some(true), Some(false)));
        let row = Row::new("load", "ms", &rounds(&[50.0])).at_most(60.0);
        assert_eq!((row.target, row.ok), (Some(60.0), Some(true)));
    }

    #[test]
    fn what_falls_short_comes_first() {
        let floor = rounds(&[1.0]);
        let row = |name, value| Row::new(name, "ns", &rounds(&[value]));
        let good = row("good", 1.0).versus("floor/pass", &floor, Some(1.5));
        let bad = row("bad", 2.0).versus("floor/pass", &floor, Some(1.5));
        let table = Report::new("packet", vec![row("none", 1.0), good, bad]).table();
        let at = |name| table.find(name).unwrap();
        assert!(at("bad") < at("good") && at("good") < at("none"));
    }
}
