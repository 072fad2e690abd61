//! The proposal as a rule file, each rule with its evidence.

use std::fmt::Write;

use super::Evidence;
use super::habits::{Before, Habits, Use, quantile};
use super::operations::{Operation, Operations};

/// Times that a `require` may lie back: the first that is twice as long as nearly all.
const SPANS: [(u64, &str); 8] = [
    (60, "1m"),
    (300, "5m"),
    (600, "10m"),
    (1800, "30m"),
    (3600, "1h"),
    (7200, "2h"),
    (43_200, "12h"),
    (86_400, "24h"),
];
/// The shortest gap that is worth a rule.
const GAP: u64 = 300;
/// The most different values that a rule can count.
const DISTINCT: u64 = 500;

pub(super) fn write(operations: &Operations, habits: &Habits, evidence: &Evidence, left_out: usize) -> String {
    let mut text = format!(
        "# Learned from {} calls of {} sessions. {left_out} sessions had points or refusals and taught nothing.\n\
         # Read it, remove what is chance, watch what it says (`portcullis why`), then enforce.\n\
         rules_version = 1\n\n[op]\n",
        habits.calls, habits.sessions
    );
    for (operation, found) in operations.all.iter().zip(&habits.uses) {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{} = \"{} {}\" # {} calls, {} sessions",
            operation.name, operation.method, operation.template, found.calls, found.sessions
        );
    }
    for (index, found) in habits.uses.iter().enumerate() {
        if found.sessions >= evidence.sessions {
            propose(&mut text, operations, index, found, evidence);
        }
    }
    text
}

fn propose(text: &mut String, operations: &Operations, index: usize, found: &Use, evidence: &Evidence) {
    let operation = &operations.all[index];
    let changes = !matches!(operation.method.as_str(), "GET" | "OPTIONS");
    if changes {
        if let Some((other, bind, before)) = needed(found, evidence) {
            require(text, operation, &operations.all[other], bind, found, before);
        }
        at_most(text, operation, found);
    }
    for (name, values) in &found.distinct {
        enumeration(text, operation, name, values);
    }
}

/// The call that most surely came before; with a value in common if that is as sure, and the nearest of equals.
fn needed<'a>(found: &'a Use, evidence: &Evidence) -> Option<(usize, Option<&'a str>, &'a Before)> {
    let share = |sessions: usize| sessions as f64 / found.sessions as f64;
    let candidates = found.before.iter().filter_map(|(other, before)| {
        let bound = before.with.iter().max_by_key(|(_, sessions)| **sessions);
        let bound = bound.filter(|(_, sessions)| share(**sessions) >= evidence.certainty);
        let is_sure = share(before.sessions) >= evidence.certainty;
        let median = quantile(&mut before.gaps.clone(), 0.5);
        is_sure.then_some((*other, bound.map(|(name, _)| name.as_str()), before, median))
    });
    let best = candidates.min_by_key(|(_, bind, _, median)| (bind.is_none(), *median));
    best.map(|(other, bind, before, _)| (other, bind, before))
}

fn head(text: &mut String, id: &str, evidence: &str, on: &Operation) {
    let _ = write!(
        text,
        "\n# {evidence}\n[[rule]]\nid = \"{id}\"\nmode = \"monitor\"\non = [\"{}\"]\n",
        on.name
    );
}

fn seconds(millis: u64) -> String {
    format!("{}.{}s", millis / 1000, millis % 1000 / 100)
}

fn require(text: &mut String, on: &Operation, other: &Operation, bind: Option<&str>, found: &Use, before: &Before) {
    let mut gaps = before.gaps.clone();
    let (shortest, longest) = (quantile(&mut gaps, 0.001), quantile(&mut gaps, 0.999));
    let sessions = bind
        .and_then(|name| before.with.get(name))
        .copied()
        .unwrap_or(before.sessions);
    let same = bind.map_or_else(String::new, |name| format!(" with the same {name}"));
    let evidence = format!(
        "{} came after {}{same} in {sessions} of {} sessions ({} did otherwise); gaps from {} to {}",
        on.name,
        other.name,
        found.sessions,
        found.sessions - sessions,
        seconds(shortest),
        seconds(longest),
    );
    let within = SPANS.iter().find(|(span, _)| span * 1000 >= longest * 2);
    let within = within.map_or_else(String::new, |(_, span)| format!(", within = \"{span}\""));
    let bind = bind.map_or_else(String::new, |name| format!(", bind = [\"{name}\"]"));
    head(text, &format!("{}-after-{}", on.name, other.name), &evidence, on);
    let _ = writeln!(
        text,
        "require = [{{ op = \"{}\"{within}{bind}, status = \"2xx\" }}]",
        other.name
    );
    if shortest >= GAP {
        let at_least = shortest / 2 / 50 * 50;
        let evidence = format!("nobody was faster than {}", seconds(shortest));
        head(text, &format!("{}-not-too-soon", on.name), &evidence, on);
        let _ = writeln!(
            text,
            "min_gap = {{ since = \"{}\", at_least = \"{at_least}ms\"{bind} }}",
            other.name
        );
    }
}

fn at_most(text: &mut String, on: &Operation, found: &Use) {
    let usual = quantile(&mut found.busiest.clone(), 0.99);
    let most = quantile(&mut found.busiest.clone(), 1.0);
    let evidence = format!("99 of 100 sessions made at most {usual} within ten minutes, the busiest {most}");
    head(text, &format!("{}-at-most", on.name), &evidence, on);
    let _ = writeln!(text, "max = {{ count = {}, per = \"10m\" }}", (most * 2).max(3));
}

fn enumeration(text: &mut String, on: &Operation, name: &str, values: &[u64]) {
    let (usual, most) = (
        quantile(&mut values.to_vec(), 0.99),
        quantile(&mut values.to_vec(), 1.0),
    );
    let wanted = (most * 2).max(10);
    if wanted > DISTINCT {
        return;
    }
    let evidence = format!("99 of 100 sessions had at most {usual} different {name}, the busiest {most}");
    head(text, &format!("{}-not-every-{name}", on.name), &evidence, on);
    let _ = writeln!(
        text,
        "distinct = {{ param = \"{name}\", max = {wanted}, per = \"10m\" }}"
    );
}
