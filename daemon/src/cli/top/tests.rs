//! The screen, drawn from recorded looks.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::history::History;
use super::screen;
use crate::control::api::Stats;

fn look(at_ms: u64, admitted: u64, dropped: u64) -> Stats {
    let json = serde_json::json!({
        "version": "1.2.3", "enforcing": true, "at_ms": at_ms, "started": "2027-01-15T08:00:00Z", "missing": [],
        "admitted": admitted, "refused": 7, "causes": [["replay", 5], ["unsigned", 2]],
        "packets_passed": 10 * admitted, "packets_dropped": dropped, "drops": [["banned_host", dropped], ["rate", 0]],
        "bans": 1_000_000, "bans_capacity": 10_000_000, "sessions": 42, "connections": 17, "map": [1_000_000, 2_000_000],
        "enforced_ratio": 0.999_999, "interfaces": [["eth0", "native"]],
        "offenders": [{
            "network": "192.0.2.7/32", "reason": "replay\u{1b}[2J", "origin": "score", "until": "2027-01-15T09:00:00Z",
            "packets": 123_456, "bytes": 1, "last_seen": "2027-01-15T08:30:00Z",
        }],
        "refusals": [{
            "at": "2027-01-15T08:30:00Z", "reference": "0123456789abc", "cause": "replay", "address": "192.0.2.7",
            "method": "GET", "path": "/api/\u{7}x", "waived": false,
        }],
        "rules": [{ "id": "pay-after-view", "mode": "monitor", "recent": 3 }],
    });
    serde_json::from_value(json).unwrap()
}

fn drawn(history: &History, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen::draw(frame, history)).unwrap();
    terminal.backend().to_string()
}

fn seen() -> History {
    let mut history = History::default();
    for second in 0..100 {
        history.take(look(1000 * second, 50 * second, 2_000 * second));
    }
    history
}

#[test]
fn it_shows_what_happens() {
    let screen = drawn(&seen(), 120, 30);
    for text in [
        "portcullis 1.2.3",
        "enforcing",
        "well",
        "99.99 % in the kernel",
        "map 50 % full",
        "42 sessions",
        "50 admitted, 0 refused",
        "500 passed, 2000 dropped",
        "replay",
        "banned_host",
        "198k",
        "192.0.2.7/32",
        "123k",
        "pay-after-view (watches)",
        "0123456789abc",
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
    for width in [1, 2, 7, 20, 40, 79, 300] {
        for height in 1..40 {
            drawn(&history, width, height);
        }
    }
    assert!(drawn(&history, 60, 5).contains("1000000 bans"));
    drawn(&History::default(), 80, 24);
}

#[test]
fn a_daemon_that_is_gone_or_another_is_told() {
    let mut history = seen();
    history.miss("portcullis is not running".to_owned());
    assert!(drawn(&history, 120, 30).contains("portcullis is not running"));
    let mut another = look(0, 5, 5);
    another.started = serde_json::from_str("\"2027-01-15T08:40:00Z\"").unwrap();
    history.take(another);
    let screen = drawn(&history, 120, 30);
    assert!(
        screen.contains("0 admitted, 0 refused") && screen.contains("well"),
        "{screen}"
    );
}
