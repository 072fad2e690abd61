//! Text that came from elsewhere, made safe to show: a User-Agent must not move the cursor of who reads it.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a character does something other than being seen: control characters (C0, DEL, C1), bidirectional
/// overrides (Unicode TR9), invisible and line-breaking ones.
pub(super) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || character == '\u{feff}'
}

/// The text with every unsafe character written out, as `\u{1b}`.
pub(super) fn visible(text: &str) -> String {
    escaped(text, |character, out| out.extend(character.escape_unicode()))
}

/// JSON with every unsafe character in its strings written out. JSON has line feeds between its tokens, and never in
/// its strings.
pub(super) fn visible_json(json: &str) -> String {
    escaped(json, |character, out| match character {
        '\n' => out.push('\n'),
        // All that is unsafe lies in the first plane.
        _ => out.push_str(&format!("\\u{:04x}", u32::from(character))),
    })
}

/// How many columns of a terminal a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// The text in at most so many columns; where something is missing, a `…` says so.
pub(super) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut left = width.saturating_sub(1);
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        out.push(character);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            escape(character, &mut out);
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_are_written_out() {
        assert_eq!(visible("\u{1b}[2Jgone\r\n"), r"\u{1b}[2Jgone\u{d}\u{a}");
        assert_eq!(
            visible("\u{9b}31m"),
            r"\u{9b}31m",
            "C1 works without an escape character"
        );
        assert_eq!(visible("user\u{202e}txt.exe"), r"user\u{202e}txt.exe");
        assert_eq!(visible("Mozilla/5.0 (größer) 日本"), "Mozilla/5.0 (größer) 日本");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("日本語", 5), "日本…", "they are two columns wide");
        assert_eq!(cut("日本語", 4), "日…", "no column is half full");
        assert_eq!((cut("abc", 1), cut("abc", 0)), ("…".to_owned(), String::new()));
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "agent": "a\u{9b}b\u{7f}\n\u{202e}\u{feff}" });
        let shown = visible_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!shown.chars().any(|c| c != '\n' && is_unsafe(c)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
