//! One picture of the gate. Whatever does not fit is left out, the least important first.

use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};
use ratatui::{Frame, Terminal};

use super::super::fit;
use super::super::text::{columns, cut, visible};
use super::history::{History, Rates};
use super::panel::{self, List, short};
use super::view::{Panel, View};
use crate::control::api::Stats;

const GOOD: Color = Color::Green;
const BAD: Color = Color::Red;
/// Below this width, things stand one above the other.
const BROAD: u16 = 60;
/// Below this width, no list has room for all that is known.
const FULL: u16 = 78;
/// Fewer lines are no list.
const LEAST_LIST: u16 = 3;
const GAP: &str = "  ";

/// What is drawn.
pub(super) struct Picture<'a> {
    pub(super) history: &'a History,
    pub(super) view: &'a View,
    /// Why nothing new comes.
    pub(super) trouble: Option<&'a str>,
    pub(super) colored: bool,
    /// Whether there is a keyboard.
    pub(super) has_keys: bool,
}

/// The picture as text.
pub(super) fn lines(picture: &Picture<'_>, width: u16, height: u16) -> Vec<String> {
    // A terminal in memory does not fail.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(drawn) = terminal.draw(|frame| draw(frame, picture));
    let rows = drawn.buffer.content().chunks(usize::from(width.max(1)));
    let rows = rows.map(|row| row.iter().map(Cell::symbol).collect::<String>());
    let mut rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}

pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>) {
    let Some(stats) = picture.history.stats() else { return };
    let area = frame.area();
    let foot = u16::from(picture.has_keys && area.height >= 5);
    let chart = chart_height(area);
    // Without charts, their titles are lines of the head.
    let head = if chart > 0 { 3 } else { 5 };
    let [top, charts, rest, bottom] = Layout::vertical([
        Constraint::Length(head.min(area.height - foot)),
        Constraint::Length(chart),
        Constraint::Fill(1),
        Constraint::Length(foot),
    ])
    .areas(area);
    head_lines(frame, top, picture, stats, chart == 0);
    if chart > 0 {
        both_charts(frame, charts, picture);
    }
    if picture.view.help {
        help(frame, rest);
    } else if let Some(panel) = picture.view.alone() {
        let full = rest.width >= FULL;
        panel::list(panel, picture.history, stats, picture.view.order, full).draw(
            frame,
            rest,
            true,
            picture.view.skipped,
        );
    } else {
        all(frame, rest, picture, stats);
    }
    keys(frame, bottom, picture);
}

/// Two rows of bars and more where there is room, for one chart or two of them.
fn chart_height(area: Rect) -> u16 {
    match (area.width >= BROAD, area.height) {
        (true, 10..14) => 3,
        (true, 14..) => 5,
        (false, 20..) => 6,
        (_, _) => 0,
    }
}

fn head_lines(frame: &mut Frame<'_>, area: Rect, picture: &Picture<'_>, stats: &Stats, with_rates: bool) {
    let room = usize::from(area.width);
    let mut lines = vec![state(picture, stats, room)];
    let now = picture.history.now();
    let rates = [calls(now, room), packets(now, room)].map(Line::from);
    let numbers = [bans(stats, room), people(stats, room)].map(Line::from);
    if with_rates {
        lines.extend(rates);
    }
    lines.extend(numbers);
    frame.render_widget(Paragraph::new(lines), area);
}

/// Whether all is well comes first: it is what somebody looks for who has little room.
fn state<'a>(picture: &Picture<'_>, stats: &Stats, room: usize) -> Line<'a> {
    let bad = picture.style(BAD).add_modifier(Modifier::BOLD);
    let trouble = picture.trouble.map(visible).or_else(|| {
        let missing = (!stats.missing.is_empty()).then(|| stats.missing.join("; "));
        missing.map(|missing| visible(&missing))
    });
    let paused = picture.view.frozen().map(|_| "PAUSED").unwrap_or_default();
    let (state, style) = match trouble {
        Some(why) => (why, bad),
        None => ("well".to_owned(), picture.style(GOOD).add_modifier(Modifier::BOLD)),
    };
    let mode = if stats.enforcing { "enforcing" } else { "only watching" };
    let version = format!("portcullis {}", stats.version);
    let since = format!("{} {}", picture.history.since(), stats.started);
    let state = cut(&state, room);
    let left = room.saturating_sub(columns(&state) + GAP.len());
    let rest = if left == 0 {
        String::new()
    } else {
        fit::line(&[paused, mode, &version, &since], GAP, left)
    };
    Line::from(vec![Span::styled(state, style), Span::raw(GAP), Span::raw(rest)])
}

fn bans(stats: &Stats, room: usize) -> String {
    let bans = match stats.bans {
        1 => "1 ban".to_owned(),
        count => format!("{count} bans"),
    };
    // Rounded down, so that 100 % are all.
    let ratio = stats.enforced_ratio.map_or_else(
        || "no packet layer".to_owned(),
        |ratio| format!("{:.2} % in the kernel", (ratio * 10_000.0).floor() / 100.0),
    );
    let map = stats.map.map_or_else(String::new, |(hosts, capacity)| {
        format!("map {} % full", u64::from(hosts) * 100 / u64::from(capacity.max(1)))
    });
    let most = format!(
        "room for {}",
        short(u64::try_from(stats.bans_capacity).unwrap_or(u64::MAX))
    );
    fit::line(&[&bans, &ratio, &map, &most], GAP, room)
}

fn people(stats: &Stats, room: usize) -> String {
    let sessions = format!("{} sessions", stats.sessions);
    let connections = format!("{} connections", stats.connections);
    let interfaces: Vec<String> = stats
        .interfaces
        .iter()
        .map(|(name, mode)| format!("{name} ({mode})"))
        .collect();
    let interfaces = visible(&interfaces.join(", "));
    fit::line(&[&sessions, &connections, &interfaces], GAP, room)
}

fn calls(now: Rates, room: usize) -> String {
    let (good, bad) = (short(now.admitted), short(now.refused));
    let ways = [
        format!("calls/s: {good} admitted, {bad} refused"),
        format!("calls/s: {good}, refused {bad}"),
        format!("{good}/s in, {bad}/s not"),
    ];
    fit::wording(&ways, room)
}

fn packets(now: Rates, room: usize) -> String {
    let (good, bad) = (short(now.passed), short(now.dropped));
    let ways = [
        format!("packets/s: {good} passed, {bad} dropped"),
        format!("packets/s: {good}, dropped {bad}"),
        format!("pkt/s {good}, drop {bad}"),
    ];
    fit::wording(&ways, room)
}

type Rate = fn(&Rates) -> u64;

fn both_charts(frame: &mut Frame<'_>, area: Rect, picture: &Picture<'_>) {
    let [first, second] = if area.width >= BROAD {
        Layout::horizontal([Constraint::Fill(1); 2]).spacing(2).areas(area)
    } else {
        Layout::vertical([Constraint::Fill(1); 2]).areas(area)
    };
    let now = picture.history.now();
    let title = calls(now, usize::from(first.width));
    chart(
        frame,
        first,
        picture,
        &title,
        (|rates| rates.admitted, |rates| rates.refused),
    );
    let title = packets(now, usize::from(second.width));
    chart(
        frame,
        second,
        picture,
        &title,
        (|rates| rates.passed, |rates| rates.dropped),
    );
}

/// What passes above, what does not below, on one scale; the newest at the right.
fn chart(frame: &mut Frame<'_>, area: Rect, picture: &Picture<'_>, title: &str, (good, bad): (Rate, Rate)) {
    let [head, above, below] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    let style = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Paragraph::new(title.to_owned()).style(style), head);
    let width = usize::from(area.width);
    let (good, bad) = (picture.history.line(width, good), picture.history.line(width, bad));
    let most = good.iter().chain(&bad).copied().max().unwrap_or_default().max(1);
    for (mut values, color, area) in [(good, GOOD, above), (bad, BAD, below)] {
        // A little is not nothing: it gets the smallest of eight steps of a row.
        let least = most.div_ceil(8 * u64::from(area.height.max(1)));
        values
            .iter_mut()
            .filter(|value| **value > 0)
            .for_each(|value| *value = (*value).max(least));
        let line = Sparkline::default().data(values).max(most).style(picture.style(color));
        frame.render_widget(line, area);
    }
}

/// All lists, as far as there is room: the more important ones if there is little.
fn all(frame: &mut Frame<'_>, area: Rect, picture: &Picture<'_>, stats: &Stats) {
    let list = |panel: &Panel| panel::list(*panel, picture.history, stats, picture.view.order, false);
    let stacks: &[(&[Panel], Rect)] = &if area.width >= BROAD {
        let [left, right] = Layout::horizontal([Constraint::Percentage(36), Constraint::Fill(1)])
            .spacing(2)
            .areas(area);
        [
            ([Panel::Causes, Panel::Drops, Panel::Rules].as_slice(), left),
            ([Panel::Offenders, Panel::Refusals, Panel::Sessions].as_slice(), right),
        ]
    } else {
        let every = [
            Panel::Offenders,
            Panel::Drops,
            Panel::Causes,
            Panel::Refusals,
            Panel::Rules,
            Panel::Sessions,
        ];
        let lists: Vec<List> = every.iter().map(list).collect();
        stack(frame, area, &lists);
        return;
    };
    for (panels, area) in stacks {
        let lists: Vec<List> = panels.iter().map(list).collect();
        stack(frame, *area, &lists);
    }
}

/// Lists one above the other.
fn stack(frame: &mut Frame<'_>, area: Rect, lists: &[List]) {
    let shown = lists.len().min(usize::from(area.height / LEAST_LIST));
    let lists = lists.get(..shown).unwrap_or_default();
    let wants: Vec<usize> = lists.iter().map(List::height).collect();
    let mut top = area.y;
    for (list, height) in lists.iter().zip(fit::shares(&wants, usize::from(area.height))) {
        let height = u16::try_from(height).unwrap_or(u16::MAX);
        list.draw(frame, Rect { y: top, height, ..area }, false, 0);
        top += height;
    }
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let text = "\
q, Esc, Ctrl-C   end; the gate goes on
Tab, left/right  one list after the other, or all
1 to 7           all, offenders, refusals, sessions, causes, drops, rules
up/down, PgUp/Dn further up or down a list
s                sort by what is most, latest, or by name
p, space         hold the picture, and go on
Ctrl-Z           back to the shell, until `fg`
any key          leave this help

In the charts, what passes is above, what does not below; the newest is right.
What keeps the gate from its work stands in the first line.";
    let room = usize::from(area.width);
    let lines: Vec<Line<'_>> = text.lines().map(|line| Line::from(cut(line, room))).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn keys(frame: &mut Frame<'_>, area: Rect, picture: &Picture<'_>) {
    let pause = if picture.view.frozen().is_some() {
        "p goes on"
    } else {
        "p holds"
    };
    let view = format!("Tab {}", picture.view.number());
    let line = fit::line(
        &["q quits", "? help", &view, pause, "s sorts", "the gate goes on"],
        GAP,
        usize::from(area.width),
    );
    frame.render_widget(
        Paragraph::new(line).style(Style::new().add_modifier(Modifier::DIM)),
        area,
    );
}

impl Picture<'_> {
    fn style(&self, color: Color) -> Style {
        if self.colored {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }
}
