//! Rows under headings, in the width that there is.

use super::super::fit::{self, Want};
use super::super::text::{columns, visible};
use super::{Look, bold, push_line};

const GAP: &str = "  ";
/// What a text keeps that gives way.
const LEAST_TEXT: usize = 12;
/// The same, where nothing else can give.
const LEAST_IN_NEED: usize = 6;
/// What an address keeps: its beginning and its end.
const LEAST_ADDRESS: usize = 18;

/// Rows under a heading.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    in_report: bool,
    /// Columns that go where there is little room, the first first.
    can_go: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
struct Column {
    heading: &'static str,
    kind: Kind,
}

/// How a column stands, and whether it gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whole, or not at all.
    Whole,
    /// The same, to the right.
    Number,
    /// Cut at its end.
    Text,
    /// Cut in the middle, where texts have given what they can.
    Address,
}

impl Table {
    /// A table with these headings. One that begins with `>` is a column of numbers, with `~` one of texts that may be cut,
    /// with `/` one of addresses.
    pub(in crate::cli) fn new(headings: &[&'static str]) -> Self {
        let column = |heading: &&'static str| {
            let kind = match heading.as_bytes().first() {
                Some(b'>') => Kind::Number,
                Some(b'~') => Kind::Text,
                Some(b'/') => Kind::Address,
                Some(_) | None => Kind::Whole,
            };
            Column {
                heading: heading.trim_start_matches(['>', '~', '/']),
                kind,
            }
        };
        Self {
            columns: headings.iter().map(column).collect(),
            rows: Vec::new(),
            in_report: false,
            can_go: &[],
        }
    }

    /// One of several tables of a report, which keep their headings in pipes too.
    pub(in crate::cli) fn in_report(self) -> Self {
        Self {
            in_report: true,
            ..self
        }
    }

    /// Columns that go where there is little room, the first first. Pipes and programs get them all the same.
    pub(in crate::cli) fn without(self, can_go: &'static [&'static str]) -> Self {
        Self { can_go, ..self }
    }

    /// Adds a row with a cell for each column.
    pub(in crate::cli) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| visible(&cell)).collect());
    }

    pub(super) fn render(&self, look: Look, room: Option<usize>, out: &mut String) {
        match look {
            Look::Piped if !self.in_report => self.rows.iter().for_each(|row| push_line(out, &row.join("\t"))),
            Look::Piped => self.render_aligned(look, None, out),
            Look::Colored | Look::Aligned => self.render_aligned(look, room, out),
        }
    }

    fn render_aligned(&self, look: Look, room: Option<usize>, out: &mut String) {
        let widths = self.widths(room);
        let headings: Vec<String> = self.columns.iter().map(|column| column.heading.to_owned()).collect();
        push_line(out, &bold(&self.aligned(&headings, &widths), look));
        for row in &self.rows {
            push_line(out, &self.aligned(row, &widths));
        }
    }

    /// The width of each column that is shown.
    fn widths(&self, room: Option<usize>) -> Vec<Option<usize>> {
        let natural: Vec<usize> = (0..self.columns.len()).map(|place| self.width(place)).collect();
        let Some(room) = room else {
            return natural.into_iter().map(Some).collect();
        };
        let mut shown = vec![true; self.columns.len()];
        let mut can_go = self.can_go.iter();
        loop {
            let places: Vec<usize> = (0..shown.len())
                .filter(|place| shown.get(*place) == Some(&true))
                .collect();
            let room = room.saturating_sub(GAP.len() * places.len().saturating_sub(1));
            let wants = |in_need: bool| -> Vec<Want> {
                let want = |place: &usize| self.want(*place, &natural, in_need);
                places.iter().filter_map(want).collect()
            };
            let fits = |wants: &[Want]| wants.iter().map(|want| want.least).sum::<usize>() <= room;
            let next = if fits(&wants(false)) { None } else { can_go.next() };
            if let Some(heading) = next {
                for (column, shown) in self.columns.iter().zip(&mut shown) {
                    *shown &= column.heading != *heading;
                }
                continue;
            }
            let wants = if fits(&wants(false)) { wants(false) } else { wants(true) };
            let mut widths = vec![None; shown.len()];
            for (place, width) in places.iter().zip(fit::widths(&wants, room)) {
                if let Some(slot) = widths.get_mut(*place) {
                    *slot = Some(width);
                }
            }
            return widths;
        }
    }

    fn want(&self, place: usize, natural: &[usize], in_need: bool) -> Option<Want> {
        let (column, most) = (self.columns.get(place)?, *natural.get(place)?);
        let least = match column.kind {
            Kind::Text if in_need => most.min(LEAST_IN_NEED),
            Kind::Text => most.min(LEAST_TEXT),
            Kind::Address if in_need => most.min(LEAST_ADDRESS),
            Kind::Whole | Kind::Number | Kind::Address => most,
        };
        Some(Want { least, most })
    }

    fn width(&self, place: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(place));
        let widest = cells.map(|cell| columns(cell)).max().unwrap_or(0);
        let heading = self.columns.get(place).map_or(0, |column| columns(column.heading));
        widest.max(heading)
    }

    fn aligned(&self, cells: &[String], widths: &[Option<usize>]) -> String {
        let cells = self.columns.iter().zip(cells).zip(widths);
        let cells = cells.filter_map(|((column, cell), width)| {
            let width = (*width)?;
            Some(match column.kind {
                Kind::Number => fit::cell(cell, width, true),
                Kind::Whole | Kind::Text => fit::cell(cell, width, false),
                Kind::Address => fit::cell(&fit::middle(cell, width), width, false),
            })
        });
        cells.collect::<Vec<_>>().join(GAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bans() -> Table {
        let mut table =
            Table::new(&["/NETWORK", ">LEFT", "UNTIL", ">PACKETS", "~REASON"]).without(&["PACKETS", "UNTIL"]);
        let reason = "scraping the price list again and again";
        table.row(["192.0.2.7/32", "1h30m", "2027-01-15T09:30:00Z", "512", reason].map(str::to_owned));
        let long = "2001:db8:77:0:aaaa:bbbb:cccc:dddd/128";
        table.row([long, "59s", "2027-01-15T08:15:00Z", "-", "größer"].map(str::to_owned));
        table
    }

    fn shown(room: usize) -> Vec<String> {
        let mut out = String::new();
        bans().render(Look::Aligned, Some(room), &mut out);
        assert!(out.lines().all(|line| columns(line) <= room), "{out}");
        out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn texts_are_cut_before_columns_go_and_addresses_last() {
        assert!(shown(200)[1].ends_with("again and again"));
        assert!(shown(100)[1].ends_with('…') && shown(100)[0].contains("PACKETS"));
        assert!(shown(80)[0].contains("UNTIL") && !shown(80)[0].contains("PACKETS"));
        let narrower = shown(70);
        assert_eq!(narrower[0], "NETWORK                                 LEFT  REASON");
        assert!(narrower[1].ends_with("scraping the price list…"), "{narrower:?}");
        let narrow = shown(50);
        assert!(narrow[2].starts_with("2001:db8:7"), "{narrow:?}");
        assert!(
            narrow[2].contains('…') && narrow[2].contains("dddd/128  "),
            "{narrow:?}"
        );
    }

    #[test]
    fn what_does_not_fit_at_all_is_not_lost() {
        let mut out = String::new();
        bans().render(Look::Aligned, Some(10), &mut out);
        assert!(out.contains("1h30m") && out.contains("scrap…"), "{out}");
        let mut piped = String::new();
        bans().render(Look::Piped, Some(10), &mut piped);
        assert!(
            piped.contains("\t512\tscraping the price list again and again\n"),
            "{piped}"
        );
    }
}
