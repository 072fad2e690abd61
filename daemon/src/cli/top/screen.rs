//! One picture of the gate. Whatever does not fit is left out, the least important first.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Sparkline, Table};

use super::super::text::visible;
use super::history::{History, Rates};
use crate::control::api::Stats;

const GOOD: Color = Color::Green;
const BAD: Color = Color::Red;
/// Below this there is room for numbers only.
const LEAST_FOR_TABLES: u16 = 14;

pub(super) fn draw(frame: &mut Frame<'_>, history: &History) {
    let Some(stats) = history.stats() else { return };
    let area = frame.area();
    let [head, charts, tables, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(if area.height >= LEAST_FOR_TABLES {
            5
        } else {
            area.height.saturating_sub(4).min(5)
        }),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(numbers(stats, history)), head);
    let [calls, packets] = Layout::horizontal([Constraint::Fill(1); 2]).areas(charts);
    let now = history.now();
    let calls_title = format!(
        "calls/s: {} admitted, {} refused",
        short(now.admitted),
        short(now.refused)
    );
    chart(
        frame,
        calls,
        &calls_title,
        history,
        (|rates| rates.admitted, |rates| rates.refused),
    );
    let packets_title = format!(
        "packets/s: {} passed, {} dropped",
        short(now.passed),
        short(now.dropped)
    );
    chart(
        frame,
        packets,
        &packets_title,
        history,
        (|rates| rates.passed, |rates| rates.dropped),
    );
    if area.height >= LEAST_FOR_TABLES {
        details(frame, tables, stats);
    }
    let keys = "q quits   the gate goes on";
    frame.render_widget(
        Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)),
        foot,
    );
}

fn numbers<'a>(stats: &'a Stats, history: &'a History) -> Vec<Line<'a>> {
    let mode = if stats.enforcing { "enforcing" } else { "only watching" };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let bad = Style::new().fg(BAD).add_modifier(Modifier::BOLD);
    let state = match (history.missed(), stats.missing.is_empty()) {
        (Some(why), _) => Span::styled(visible(why), bad),
        (None, false) => Span::styled(visible(&stats.missing.join("; ")), bad),
        (None, true) => Span::raw("well"),
    };
    let ratio = stats.enforced_ratio.map_or_else(
        || "no packet layer".to_owned(),
        // Rounded down, so that 100 % are all.
        |ratio| format!("{:.2} % in the kernel", (ratio * 10_000.0).floor() / 100.0),
    );
    let map = stats.map.map_or_else(String::new, |(hosts, capacity)| {
        format!(", map {} % full", u64::from(hosts) * 100 / u64::from(capacity.max(1)))
    });
    let interfaces: Vec<String> = stats
        .interfaces
        .iter()
        .map(|(name, mode)| format!("{name} ({mode})"))
        .collect();
    vec![
        Line::from(vec![
            Span::styled("portcullis ", bold),
            Span::raw(format!("{} since {}, {mode}: ", stats.version, stats.started)),
            state,
        ]),
        Line::from(format!("{} bans of {}, {ratio}{map}", stats.bans, stats.bans_capacity)),
        Line::from(format!(
            "{} sessions, {} connections   {}",
            stats.sessions,
            stats.connections,
            visible(&interfaces.join(", "))
        )),
    ]
}

type Rate = fn(&Rates) -> u64;

/// What passes above, what does not below, on one scale.
fn chart(frame: &mut Frame<'_>, area: Rect, title: &str, history: &History, (good, bad): (Rate, Rate)) {
    let block = Block::new().borders(Borders::TOP).title(title.to_owned());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [above, below] = Layout::vertical([Constraint::Fill(1); 2]).areas(inner);
    let width = usize::from(inner.width);
    let (good, bad) = (history.line(width, good), history.line(width, bad));
    let most = good.iter().chain(&bad).copied().max().unwrap_or_default().max(1);
    for (values, color, area) in [(good, GOOD, above), (bad, BAD, below)] {
        let line = Sparkline::default()
            .data(values)
            .max(most)
            .style(Style::new().fg(color));
        frame.render_widget(line, area);
    }
}

fn details(frame: &mut Frame<'_>, area: Rect, stats: &Stats) {
    let [left, right] = Layout::horizontal([Constraint::Percentage(36), Constraint::Fill(1)]).areas(area);
    let [causes, drops, rules] =
        Layout::vertical([Constraint::Fill(2), Constraint::Fill(2), Constraint::Fill(2)]).areas(left);
    let counts = |list: &[(String, u64)]| -> Vec<[String; 2]> {
        let some = list.iter().filter(|(_, count)| *count > 0);
        some.map(|(name, count)| [name.clone(), short(*count)]).collect()
    };
    let narrow = [Constraint::Fill(1), Constraint::Length(7)];
    table(frame, causes, "refused for", narrow, counts(&stats.causes));
    table(frame, drops, "dropped for", narrow, counts(&stats.drops));
    let spoke = stats.rules.iter().map(|rule| {
        let watches = if rule.mode == "monitor" { " (watches)" } else { "" };
        [format!("{}{watches}", rule.id), rule.recent.to_string()]
    });
    let mut spoke: Vec<[String; 2]> = spoke.collect();
    spoke.sort_by_key(|[_, recent]| std::cmp::Reverse(recent.parse::<usize>().unwrap_or_default()));
    table(frame, rules, "rules, in the last 200 refusals", narrow, spoke);
    let [offenders, refusals] = Layout::vertical([Constraint::Fill(1); 2]).areas(right);
    let worst = stats.offenders.iter();
    let worst = worst
        .map(|one| [one.network.clone(), short(one.packets), one.reason.clone()])
        .collect();
    let widths = [Constraint::Length(20), Constraint::Length(7), Constraint::Fill(1)];
    table(frame, offenders, "top offenders, packets", widths, worst);
    let last = stats.refusals.iter();
    let last = last.map(|one| {
        let call = format!("{} {} {}", one.address, one.method, one.path);
        [one.reference.clone(), one.cause.clone(), call]
    });
    let widths = [Constraint::Length(14), Constraint::Length(20), Constraint::Fill(1)];
    table(
        frame,
        refusals,
        "last refusals: `portcullis why REF`",
        widths,
        last.collect(),
    );
}

fn table<const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    widths: [Constraint; N],
    rows: Vec<[String; N]>,
) {
    let block = Block::new().borders(Borders::TOP).title(title.to_owned());
    // What comes from clients must not move the cursor.
    let rows = rows.into_iter().map(|cells| Row::new(cells.map(|cell| visible(&cell))));
    frame.render_widget(Table::new(rows, widths).block(block), area);
}

/// Four digits at most: 9999, 12k, 3M.
fn short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{}k", count / 1_000),
        10_000_000..10_000_000_000 => format!("{}M", count / 1_000_000),
        10_000_000_000.. => format!("{}G", count / 1_000_000_000),
    }
}
