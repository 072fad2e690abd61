//! The lists of the picture: which rows in which order, and how they look in so much room.

use ipnet::IpNet;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Paragraph};

use super::super::fit::{self, Want};
use super::super::text::{columns, visible};
use super::history::History;
use super::view::{Order, Panel};
use crate::control::api::{Moment, Offender, SessionState, Stats, WorstSession};
use crate::span::Span;

const GAP: usize = 2;
/// A text that gives way keeps this much.
const LEAST: usize = 6;

/// A list before it is drawn.
pub(super) struct List {
    title: String,
    headings: Vec<Heading>,
    rows: Vec<Vec<String>>,
}

struct Heading {
    name: &'static str,
    to_the_right: bool,
    gives_way: bool,
}

/// A heading that begins with `>` is one of numbers, with `~` one of texts that may be cut.
fn headings(names: &[&'static str]) -> Vec<Heading> {
    let heading = |name: &&'static str| Heading {
        name: name.trim_start_matches(['>', '~']),
        to_the_right: name.starts_with('>'),
        gives_way: name.starts_with('~'),
    };
    names.iter().map(heading).collect()
}

/// How many rows a list has.
pub(super) fn count(panel: Panel, stats: &Stats) -> usize {
    match panel {
        Panel::Offenders => stats.offenders.len(),
        Panel::Refusals => stats.refusals.len(),
        Panel::Sessions => stats.worst_sessions.len(),
        Panel::Causes => some(&stats.causes).count(),
        Panel::Drops => some(&stats.drops).count(),
        Panel::Rules => stats.rules.len(),
    }
}

/// A list; with all that is known of each row if it is alone on a screen that is wide enough.
pub(super) fn list(panel: Panel, history: &History, stats: &Stats, order: Order, full: bool) -> List {
    match panel {
        Panel::Offenders => offenders(&stats.offenders, order, full),
        Panel::Refusals => refusals(stats, full),
        Panel::Sessions => sessions(&stats.worst_sessions, order),
        Panel::Causes => counts("refused for", &stats.causes, |name| history.cause_rate(name), order),
        Panel::Drops => counts("dropped for", &stats.drops, |name| history.drop_rate(name), order),
        Panel::Rules => rules(stats, order),
    }
}

fn offenders(offenders: &[Offender], order: Order, full: bool) -> List {
    let mut sorted: Vec<&Offender> = offenders.iter().collect();
    let ordered = match order {
        Order::Most => {
            sorted.sort_by_key(|one| std::cmp::Reverse(one.packets));
            "most packets first"
        }
        Order::Latest => {
            sorted.sort_by_key(|one| std::cmp::Reverse(one.last_seen));
            "the last seen first"
        }
        Order::Name => {
            sorted.sort_by_key(|one| one.network.parse::<IpNet>().ok());
            "by network"
        }
    };
    let row = |one: &&Offender| {
        let mut row = vec![one.network.clone(), short(one.packets)];
        if full {
            row.extend([short(one.bytes), from(DATE, one.last_seen), one.origin.clone()]);
        }
        row.push(one.reason.clone());
        row
    };
    let names: &[&str] = if full {
        &["~NETWORK", ">PACKETS", ">BYTES", "LAST SEEN", "BY", "~REASON"]
    } else {
        &["~NETWORK", ">PACKETS", "~REASON"]
    };
    List {
        title: format!("offenders, {ordered}"),
        headings: headings(names),
        rows: sorted.iter().map(row).collect(),
    }
}

fn refusals(stats: &Stats, full: bool) -> List {
    let rows = stats.refusals.iter().map(|one| {
        let cause = if one.waived {
            format!("{} (passed)", one.cause)
        } else {
            one.cause.clone()
        };
        let call = format!("{} {}", one.method, one.path);
        let row = [one.reference.clone(), cause, one.address.to_string(), call];
        let at = full.then(|| from(TIME, one.at));
        at.into_iter().chain(row).collect()
    });
    let names: &[&str] = if full {
        &["WHEN", "REF", "~CAUSE", "~ADDRESS", "~CALL"]
    } else {
        &["REF", "~CAUSE", "~ADDRESS", "~CALL"]
    };
    List {
        title: "refusals, the last first: `portcullis why REF`".to_owned(),
        headings: headings(names),
        rows: rows.collect(),
    }
}

/// Where the month begins in RFC 3339.
const DATE: usize = 5;
/// Where the hour does.
const TIME: usize = 11;

/// A time without what somebody who looks at it knows.
fn from(place: usize, moment: Moment) -> String {
    moment.to_string().get(place..).unwrap_or_default().to_owned()
}

fn sessions(sessions: &[WorstSession], order: Order) -> List {
    let mut sorted: Vec<&WorstSession> = sessions.iter().collect();
    let ordered = match order {
        Order::Most => {
            sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
            "most points first"
        }
        Order::Latest => {
            sorted.sort_by_key(|one| one.idle_seconds);
            "the last seen first"
        }
        Order::Name => {
            sorted.sort_by(|a, b| a.id.cmp(&b.id));
            "by name"
        }
    };
    let row = |one: &&WorstSession| {
        vec![
            one.id.clone(),
            format!("{:.1}", one.score),
            short(one.calls),
            Span(one.idle_seconds).to_string(),
            word(one.state).to_owned(),
            one.address.to_string(),
        ]
    };
    List {
        title: format!("sessions, {ordered}"),
        headings: headings(&["SESSION", ">POINTS", ">CALLS", ">IDLE", "~STATE", "~ADDRESS"]),
        rows: sorted.iter().map(row).collect(),
    }
}

fn word(state: SessionState) -> &'static str {
    match state {
        SessionState::Active => "active",
        SessionState::Suspended => "suspended",
        SessionState::Banned => "banned",
        SessionState::Revoked => "revoked",
        SessionState::Over => "over",
    }
}

fn counts(title: &str, counts: &[(String, u64)], rate: impl Fn(&str) -> u64, order: Order) -> List {
    let mut counts: Vec<&(String, u64)> = some(counts).collect();
    match order {
        Order::Most => counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count)),
        // What happens now.
        Order::Latest => counts.sort_by_key(|(name, _)| std::cmp::Reverse(rate(name))),
        Order::Name => counts.sort(),
    }
    let rows = counts
        .iter()
        .map(|(name, count)| vec![name.clone(), format!("{}/s", short(rate(name))), short(*count)]);
    List {
        title: title.to_owned(),
        rows: rows.collect(),
        headings: headings(&["~REASON", ">NOW", ">SINCE THE START"]),
    }
}

fn some(counts: &[(String, u64)]) -> impl Iterator<Item = &(String, u64)> {
    counts.iter().filter(|(_, count)| *count > 0)
}

fn rules(stats: &Stats, order: Order) -> List {
    let mut rules: Vec<_> = stats.rules.iter().collect();
    match order {
        Order::Most | Order::Latest => rules.sort_by_key(|rule| std::cmp::Reverse(rule.recent)),
        Order::Name => rules.sort_by(|a, b| a.id.cmp(&b.id)),
    }
    let rows = rules.iter().map(|rule| {
        let watches = if rule.mode == "monitor" { "watches" } else { "" };
        vec![rule.id.clone(), watches.to_owned(), rule.recent.to_string()]
    });
    List {
        title: "rules, in the last 200 refusals".to_owned(),
        rows: rows.collect(),
        headings: headings(&["~RULE", "MODE", ">REFUSALS"]),
    }
}

impl List {
    /// Lines that it would fill.
    pub(super) fn height(&self) -> usize {
        1 + self.rows.len().max(1)
    }

    /// Draws it under its title, without its first rows.
    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, alone: bool, skipped: usize) {
        let room = usize::from(area.width);
        let block = Block::new()
            .borders(Borders::TOP)
            .title(fit::line(&[self.title.as_str()], "", room));
        let widths = self.widths(room, alone);
        let mut lines = Vec::new();
        if alone && !self.rows.is_empty() {
            let names: Vec<&str> = self.headings.iter().map(|heading| heading.name).collect();
            lines.push(Line::styled(
                self.row(&names, &widths),
                Style::new().add_modifier(Modifier::BOLD),
            ));
        }
        for row in self.rows.iter().skip(skipped).take(usize::from(area.height)) {
            // What comes from clients must not move the cursor.
            let cells: Vec<String> = row.iter().map(|cell| visible(cell)).collect();
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            lines.push(Line::from(self.row(&cells, &widths)));
        }
        if self.rows.is_empty() {
            lines.push(Line::styled("none", Style::new().add_modifier(Modifier::DIM)));
        }
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }

    fn widths(&self, room: usize, alone: bool) -> Vec<usize> {
        let wants: Vec<Want> = (self.headings.iter().enumerate())
            .map(|(place, heading)| {
                let cells = self.rows.iter().filter_map(|row| row.get(place));
                let most = cells.map(|cell| columns(&visible(cell))).max().unwrap_or(0);
                let most = if alone { most.max(columns(heading.name)) } else { most };
                let least = if heading.gives_way { most.min(LEAST) } else { most };
                Want { least, most }
            })
            .collect();
        fit::widths(&wants, room.saturating_sub(GAP * wants.len().saturating_sub(1)))
    }

    fn row(&self, cells: &[&str], widths: &[usize]) -> String {
        let cells = cells.iter().zip(widths).zip(&self.headings);
        let cells = cells.map(|((text, width), heading)| fit::cell(text, *width, heading.to_the_right));
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP))
    }
}

/// Four digits at most: 9999, 12k, 3M.
pub(super) fn short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{}k", count / 1_000),
        10_000_000..10_000_000_000 => format!("{}M", count / 1_000_000),
        10_000_000_000.. => format!("{}G", count / 1_000_000_000),
    }
}
