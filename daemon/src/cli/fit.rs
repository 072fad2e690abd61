//! Making things fit the width of a terminal.

use super::text::{columns, cut};

/// How wide a column of a table may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    /// Not narrower than this, whatever happens.
    pub(super) least: usize,
    /// No wider than its widest cell.
    pub(super) most: usize,
}

/// Widths that together take at most `room`, if that can be: the widest columns give first, so that short ones stay whole.
pub(super) fn widths(wants: &[Want], room: usize) -> Vec<usize> {
    let at = |level: usize| wants.iter().map(move |want| want.most.min(level.max(want.least)));
    let widest = wants.iter().map(|want| want.most).max().unwrap_or(0);
    let level = (0..=widest)
        .rev()
        .find(|level| at(*level).sum::<usize>() <= room)
        .unwrap_or(0);
    let mut widths: Vec<usize> = at(level).collect();
    // What is left is less than a column for each.
    let mut left = room.saturating_sub(widths.iter().sum());
    for (width, want) in widths.iter_mut().zip(wants) {
        if *width < want.most && left > 0 {
            (*width, left) = (*width + 1, left - 1);
        }
    }
    widths
}

/// A cell of exactly this width.
pub(super) fn cell(text: &str, width: usize, to_the_right: bool) -> String {
    let text = cut(text, width);
    let blank = " ".repeat(width.saturating_sub(columns(&text)));
    if to_the_right { blank + &text } else { text + &blank }
}

/// The text in at most so many columns, without its middle.
pub(super) fn middle(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let tail = width.saturating_sub(1) / 2;
    let skipped = text.chars().count().saturating_sub(tail);
    let end: String = text.chars().skip(skipped).collect();
    cut(text, width.saturating_sub(tail)) + &end
}

/// As many of the parts, the first first, as fit in one line. The first is always there, if cut.
pub(super) fn line(parts: &[&str], gap: &str, room: usize) -> String {
    let mut line = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if line.is_empty() {
            line = cut(part, room);
        } else if columns(&line) + columns(gap) + columns(part) <= room {
            line.push_str(gap);
            line.push_str(part);
        }
    }
    line
}

/// The first of several ways to say something that fits; the last one cut, if none does.
pub(super) fn wording(ways: &[String], room: usize) -> String {
    let fitting = ways.iter().find(|way| columns(way) <= room);
    fitting.or(ways.last()).map_or_else(String::new, |way| cut(way, room))
}

/// Lines for lists that share a height: who needs less than its share leaves the rest to the others.
pub(super) fn shares(wants: &[usize], room: usize) -> Vec<usize> {
    let wants: Vec<Want> = wants.iter().map(|most| Want { least: 0, most: *most }).collect();
    widths(&wants, room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(least: usize, most: usize) -> Want {
        Want { least, most }
    }

    #[test]
    fn the_widest_column_gives_first() {
        let wants = [want(4, 4), want(8, 40), want(8, 60)];
        assert_eq!(widths(&wants, 200), [4, 40, 60]);
        assert_eq!(widths(&wants, 80), [4, 38, 38]);
        assert_eq!(widths(&wants, 81), [4, 39, 38], "no column is left empty");
        assert_eq!(widths(&wants, 3), [4, 8, 8], "none gets below its least");
        assert_eq!(widths(&[], 3), [0; 0]);
    }

    #[test]
    fn who_needs_little_leaves_the_rest() {
        assert_eq!(shares(&[2, 20, 20], 20), [2, 9, 9]);
        assert_eq!(shares(&[2, 20, 20], 21), [2, 10, 9]);
        assert_eq!(shares(&[2, 3], 20), [2, 3]);
        assert_eq!(shares(&[5, 5], 0), [0, 0]);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(line(&["well", "a long thing", "7 bans"], "  ", 12), "well  7 bans");
        assert_eq!(line(&["trouble", "x"], "  ", 4), "tro…");
        let ways = ["all of it".to_owned(), "some".to_owned()];
        assert_eq!(wording(&ways, 9), "all of it");
        assert_eq!(wording(&ways, 8), "some");
        assert_eq!(wording(&ways, 3), "so…");
    }

    #[test]
    fn addresses_keep_both_ends() {
        assert_eq!(middle("2001:db8::aaaa:7/128", 20), "2001:db8::aaaa:7/128");
        assert_eq!(middle("2001:db8::aaaa:7/128", 11), "2001:…7/128");
        assert_eq!(middle("2001:db8::", 1), "…");
    }

    #[test]
    fn cells_are_exactly_as_wide() {
        assert_eq!(cell("7", 3, true), "  7");
        assert_eq!(cell("7", 3, false), "7  ");
        assert_eq!(cell("日本語", 4, false), "日… ");
    }
}
