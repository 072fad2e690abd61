//! A simulation as a picture: one lane for each client, time from left to right, colours for what became of the calls.

use std::fmt::Write;

use portcullis_tests::simulation::{Group, Kind, LENGTH, Mark, Outcome};

use super::figures::{gains_without, refused_share};
use super::show::Run;

pub(super) const WIDTH: usize = 1180;
pub(super) const HEIGHT: usize = 776;
const LEFT: f64 = 196.0;
const RIGHT: f64 = 830.0;
const TOP: f64 = 112.0;
const LANE: f64 = 6.0;
const GAP: f64 = 26.0;
/// The columns of figures beside the lanes.
const COLUMNS: [(&str, f64); 5] = [
    ("calls", 890.0),
    ("refused", 958.0),
    ("banned", 1024.0),
    ("got", 1088.0),
    ("without", 1160.0),
];

/// So many of a group are drawn; they are as good as any.
fn most(kind: Kind) -> usize {
    match kind {
        Kind::Person => 22,
        Kind::Phone => 16,
        Kind::Neighbour => 12,
        Kind::Scraper => 3,
        Kind::Stuffer => 12,
        Kind::Farmhand => 14,
    }
}

fn colour(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "#3a9d6e",
        Outcome::Refused => "#f59f00",
        Outcome::Banned => "#c92a2a",
    }
}

pub(super) fn draw(run: &Run) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\" fill=\"#212529\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    head(&mut svg, run);
    let bottom = run
        .guarded
        .groups
        .iter()
        .fold(TOP, |y, group| draw_group(&mut svg, run, group, y));
    axis(&mut svg, bottom);
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, words: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" {style}>{words}</text>");
}

fn head(svg: &mut String, run: &Run) {
    let report = &run.guarded;
    let title = format!("{}: who gets hurt", report.scenario.title);
    text(svg, 20.0, 34.0, "font-size=\"20\" font-weight=\"bold\"", &title);
    let said = format!(
        "One hour by a virtual clock, seed {}. Each lane is one client; abusers start at 15 minutes.",
        report.seed
    );
    text(svg, 20.0, 56.0, "fill=\"#495057\"", &said);
    let legend = [
        (Outcome::Passed, "passed"),
        (Outcome::Refused, "refused"),
        (Outcome::Banned, "banned: nothing is answered"),
    ];
    let mut x = LEFT;
    for (outcome, words) in legend {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"72\" width=\"12\" height=\"12\" fill=\"{}\"/>",
            colour(outcome)
        );
        text(svg, x + 17.0, 82.0, "", words);
        x += 34.0 + 7.0 * words.len() as f64;
    }
    for (name, x) in COLUMNS {
        text(svg, x, 82.0, "text-anchor=\"end\" font-weight=\"bold\"", name);
    }
}

fn draw_group(svg: &mut String, run: &Run, group: &Group, top: f64) -> f64 {
    let lanes: Vec<&Vec<Mark>> = run
        .guarded
        .lanes
        .iter()
        .filter(|(kind, _)| *kind == group.kind)
        .map(|(_, marks)| marks)
        .take(most(group.kind))
        .collect();
    let height = (lanes.len() as f64 * LANE).max(14.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{}\" height=\"{height}\" fill=\"#f1f3f5\"/>",
        RIGHT - LEFT
    );
    for outcome in [Outcome::Passed, Outcome::Refused, Outcome::Banned] {
        let mut path = String::new();
        for (number, marks) in lanes.iter().enumerate() {
            draw_lane(&mut path, marks, outcome, top + (number as f64 + 0.5) * LANE);
        }
        let (stroke, width) = (colour(outcome), LANE - 1.0);
        let _ = writeln!(svg, "<path d=\"{path}\" stroke=\"{stroke}\" stroke-width=\"{width}\"/>");
    }
    let middle = top + height / 2.0;
    let (first, second) = label(group);
    let style = "text-anchor=\"end\" font-weight=\"bold\"";
    text(svg, LEFT - 12.0, middle - 2.0, style, first);
    let shown = format!("{second}{} of {}", lanes.len(), group.members);
    text(
        svg,
        LEFT - 12.0,
        middle + 13.0,
        "text-anchor=\"end\" fill=\"#495057\"",
        &shown,
    );
    figures(svg, run, group, middle + 5.0);
    top + height + GAP
}

fn label(group: &Group) -> (&'static str, &'static str) {
    match group.kind {
        Kind::Neighbour => ("people at the farm's", "address, "),
        kind @ (Kind::Person | Kind::Phone | Kind::Scraper | Kind::Stuffer | Kind::Farmhand) => (kind.name(), ""),
    }
}

fn figures(svg: &mut String, run: &Run, group: &Group, y: f64) {
    let prize = |count: u32| {
        let is_prize = !group.kind.is_innocent();
        if is_prize { count.to_string() } else { "-".to_owned() }
    };
    let values = [
        group.calls.to_string(),
        format!("{:.2} %", 100.0 * refused_share(group)),
        format!("{} of {}", group.banned, group.members),
        prize(group.gains),
        prize(gains_without(run, group)),
    ];
    for ((_, x), value) in COLUMNS.iter().zip(values) {
        text(svg, *x, y, "text-anchor=\"end\"", &value);
    }
}

/// Where the calls of a lane became this, by the pixel: the worst of each.
fn draw_lane(path: &mut String, marks: &[Mark], outcome: Outcome, y: f64) {
    let columns = (RIGHT - LEFT) as usize;
    let mut worst: Vec<Option<Outcome>> = vec![None; columns];
    let rank = |outcome: Outcome| match outcome {
        Outcome::Passed => 0,
        Outcome::Refused => 1,
        Outcome::Banned => 2,
    };
    for mark in marks {
        let x = (mark.at as f64 / LENGTH as f64 * columns as f64) as usize;
        if let Some(place) = worst.get_mut(x) {
            let known = place.get_or_insert(mark.outcome);
            if rank(mark.outcome) > rank(*known) {
                *known = mark.outcome;
            }
        }
    }
    let mut x = 0;
    while x < columns {
        if worst[x] != Some(outcome) {
            x += 1;
            continue;
        }
        let end = (x..columns).find(|at| worst[*at] != Some(outcome)).unwrap_or(columns);
        let _ = write!(path, "M{:.0} {y:.0}h{}", LEFT + x as f64, (end - x).max(2));
        x = end;
    }
}

fn axis(svg: &mut String, bottom: f64) {
    for minute in (0..=60).step_by(10) {
        let x = LEFT + (RIGHT - LEFT) * f64::from(minute) / 60.0;
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.0}\" y1=\"{TOP}\" x2=\"{x:.0}\" y2=\"{:.0}\" stroke=\"#adb5bd\" stroke-width=\"0.5\"/>",
            bottom - GAP + 4.0
        );
        let label = if minute == 60 {
            "60 min".to_owned()
        } else {
            minute.to_string()
        };
        text(
            svg,
            x,
            bottom - GAP + 20.0,
            "text-anchor=\"middle\" fill=\"#495057\"",
            &label,
        );
    }
    let said = "Abusers have working clients: they open sessions, sign, and sign again when asked to. \u{201c}Got\u{201d} is what \
                they came for: pages, accounts, purchases; \u{201c}without\u{201d}, if the gate only watched.";
    text(svg, 20.0, bottom + 18.0, "fill=\"#495057\" font-size=\"11\"", said);
}
