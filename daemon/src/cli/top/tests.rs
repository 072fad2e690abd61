//! The screen, drawn from recorded looks, and the keys.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::history::History;
use super::screen::{self, Picture};
use super::view::{Next, View};
use crate::control::api::Stats;

fn look(at_ms: u64, admitted: u64, dropped: u64) -> Stats {
    let offenders: Vec<_> = (7..27).map(|host| {
        serde_json::json!({
            "network": format!("192.0.2.{host}/32"), "reason": "replay\u{1b}[2J", "origin": "score",
            "until": "2027-01-15T09:00:00Z", "packets": 123_463 - host, "bytes": 1, "last_seen": "2027-01-15T08:30:00Z",
        })
    }).collect();
    let json = serde_json::json!({
        "version": "1.2.3", "enforcing": true, "at_ms": at_ms, "started": "2027-01-15T08:00:00Z", "missing": [],
        "admitted": admitted, "refused": 7, "causes": [["replay", 5], ["unsigned", 2]],
        "packets_passed": 10 * admitted, "packets_dropped": dropped, "drops": [["banned_host", dropped], ["rate", 0]],
        "bans": 1_000_000, "bans_capacity": 10_000_000, "sessions": 42, "connections": 17, "map": [1_000_000, 2_000_000],
        "enforced_ratio": 0.999_999, "interfaces": [["eth0", "native"]],
        "offenders": offenders,
        "worst_sessions": [{
            "id": "abcdefgh12345678", "address": "192.0.2.9", "score": 42.5, "calls": 11, "idle_seconds": 61,
            "state": "suspended",
        }],
        "refusals": [{
            "at": "2027-01-15T08:30:00Z", "reference": "0123456789abc", "cause": "replay", "address": "192.0.2.7",
            "method": "GET", "path": "/api/\u{7}x", "waived": false,
        }],
        "rules": [{ "id": "pay-after-view", "mode": "monitor", "recent": 3 }],
    });
    serde_json::from_value(json).unwrap()
}

fn drawn_as(history: &History, view: &View, width: u16, height: u16) -> String {
    let picture = Picture {
        history: view.frozen().unwrap_or(history),
        view,
        trouble: history.missed(),
        colored: true,
        has_keys: true,
    };
    screen::lines(&picture, width, height).join("\n")
}

fn drawn(history: &History, width: u16, height: u16) -> String {
    drawn_as(history, &View::default(), width, height)
}

fn seen() -> History {
    let mut history = History::default();
    for second in 0..100 {
        history.take(look(1000 * second, 50 * second, 2_000 * second));
    }
    history
}

fn press(view: &mut View, code: KeyCode) -> Next {
    view.key(KeyEvent::new(code, KeyModifiers::NONE), &seen())
}

fn press_all(view: &mut View, keys: &str) {
    for key in keys.chars() {
        assert_eq!(press(view, KeyCode::Char(key)), Next::Draw, "{key}");
    }
}

#[test]
fn it_shows_what_happens() {
    let screen = drawn(&seen(), 120, 30);
    for text in [
        "well  enforcing  portcullis 1.2.3",
        "99.99 % in the kernel",
        "map 50 % full",
        "42 sessions",
        "50 admitted, 0 refused",
        "500 passed, 2000 dropped",
        "replay",
        "banned_host  2000/s  198k",
        "192.0.2.7/32",
        "123k",
        "pay-after-view  watches  3",
        "0123456789abc",
        "abcdefgh12345678  42.5  11  1m1s  suspended  192.0.2.9",
        "eth0 (native)",
        "q quits",
    ] {
        assert!(screen.contains(text), "{text} is not in\n{screen}");
    }
    assert!(
        screen.contains("\\u{1b}[2J") && screen.contains("\\u{7}"),
        "text from clients is shown, not obeyed\n{screen}"
    );
    assert!(!screen.contains('\u{1b}') && !screen.contains("rate "), "{screen}");
}

#[test]
fn no_terminal_is_too_small() {
    let history = seen();
    for width in [1, 7, 20, 59, 60, 150] {
        for height in (1..16).chain([24, 39]) {
            for view in ["", "2", "4", "?"] {
                let mut shown = View::default();
                press_all(&mut shown, view);
                drawn_as(&history, &shown, width, height);
            }
        }
    }
    let tiny = drawn(&history, 20, 5);
    assert!(
        tiny.starts_with("well") && tiny.contains("1000000 bans") && tiny.contains("q quits"),
        "{tiny}"
    );
    drawn(&History::default(), 80, 24);
}

#[test]
fn what_is_narrow_shows_offenders_before_all_else() {
    let narrow = drawn(&seen(), 40, 12);
    let at = |text: &str| {
        narrow
            .find(text)
            .unwrap_or_else(|| panic!("{text} is not in\n{narrow}"))
    };
    assert!(
        at("2000 dropped") < at("offenders") && at("192.0.2.7/32") < at("dropped for"),
        "{narrow}"
    );
}

#[test]
fn the_newest_rate_is_at_the_right() {
    let mut history = History::default();
    history.take(look(0, 0, 0));
    history.take(look(1000, 0, 800));
    let screen = drawn(&history, 80, 24);
    let bars: Vec<&str> = screen.lines().filter(|line| line.contains('█')).collect();
    assert!(
        !bars.is_empty() && bars.iter().all(|line| line.chars().count() == 80),
        "{screen}"
    );
}

#[test]
fn a_little_is_not_drawn_as_nothing() {
    let mut history = History::default();
    history.take(look(0, 0, 0));
    history.take(look(1000, 100_000, 1));
    assert!(drawn(&history, 80, 24).contains('▁'));
}

#[test]
fn a_daemon_that_is_gone_or_another_is_told() {
    let mut history = seen();
    history.miss("portcullis is not running".to_owned());
    assert!(drawn(&history, 120, 30).starts_with("portcullis is not running"));
    assert!(drawn(&history, 20, 5).starts_with("portcullis is not r…"));
    let mut another = look(0, 5, 5);
    another.started = serde_json::from_str("\"2027-01-15T08:40:00Z\"").unwrap();
    history.take(another);
    let screen = drawn(&history, 120, 30);
    assert!(
        screen.contains("0 admitted, 0 refused") && screen.contains("well") && screen.contains("started anew 2027"),
        "{screen}"
    );
}

#[test]
fn keys_go_from_list_to_list_and_back() {
    let (history, mut view) = (seen(), View::default());
    press(&mut view, KeyCode::Tab);
    let alone = drawn_as(&history, &view, 100, 24);
    assert!(alone.contains("LAST SEEN") && !alone.contains("refused for"), "{alone}");
    press(&mut view, KeyCode::BackTab);
    press(&mut view, KeyCode::Left);
    assert!(
        drawn_as(&history, &view, 100, 24).contains("MODE"),
        "the last list is before the first"
    );
    press_all(&mut view, "1");
    assert!(drawn_as(&history, &view, 100, 24).contains("refused for"));
}

#[test]
fn lists_scroll_no_further_than_they_go() {
    let (history, mut view) = (seen(), View::default());
    press_all(&mut view, "2");
    for _ in 0..50 {
        press(&mut view, KeyCode::PageDown);
    }
    let end = drawn_as(&history, &view, 100, 24);
    assert!(end.contains("192.0.2.26/32") && !end.contains("192.0.2.25/32"), "{end}");
    press(&mut view, KeyCode::Up);
    assert!(drawn_as(&history, &view, 100, 24).contains("192.0.2.25/32"));
}

#[test]
fn lists_are_sorted_as_told() {
    let (history, mut view) = (seen(), View::default());
    for title in [
        "most packets first",
        "the last seen first",
        "by network",
        "most packets first",
    ] {
        let screen = drawn_as(&history, &view, 120, 30);
        assert!(screen.contains(title), "{title} is not in\n{screen}");
        press_all(&mut view, "s");
    }
}

#[test]
fn a_held_picture_stays_and_trouble_shows_in_it() {
    let (mut history, mut view) = (seen(), View::default());
    view.key(KeyEvent::new(KeyCode::Char('p'), KeyModifiers::NONE), &history);
    history.take(look(100_000, 9_000_000, 0));
    history.miss("gone".to_owned());
    let held = drawn_as(&history, &view, 120, 30);
    assert!(
        held.starts_with("gone  PAUSED") && held.contains("50 admitted"),
        "{held}"
    );
}

#[test]
fn any_key_leaves_the_help_and_some_leave_all() {
    let mut view = View::default();
    press_all(&mut view, "?");
    assert!(drawn_as(&seen(), &view, 80, 24).contains("Ctrl-Z"));
    assert_eq!(press(&mut view, KeyCode::Esc), Next::Draw);
    assert!(!drawn_as(&seen(), &view, 80, 24).contains("Ctrl-Z"));
    assert_eq!(press(&mut view, KeyCode::Esc), Next::End);
    assert_eq!(press(&mut view, KeyCode::Char('q')), Next::End);
    let mut control = |key| view.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL), &seen());
    assert_eq!(
        (control('c'), control('z'), control('l')),
        (Next::End, Next::Suspend, Next::Draw)
    );
}
