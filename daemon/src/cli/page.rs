//! Lines, fields and tables for people. Every text is made safe on its way in.

mod table;

use super::text::visible;
pub(super) use table::Table;

/// What goes to standard output for people, in order.
#[derive(Debug, Default)]
pub(super) struct Page {
    blocks: Vec<Block>,
}

#[derive(Debug)]
enum Block {
    Line(String),
    Field { name: &'static str, value: String },
    Table(Table),
}

/// How a page looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Aligned, with headings in bold.
    Colored,
    /// Aligned.
    Aligned,
    /// For `cut` and `while read`: a tab between cells, no headings.
    Piped,
}

impl Page {
    pub(super) fn line(&mut self, line: impl Into<String>) {
        self.blocks.push(Block::Line(visible(&line.into())));
    }

    /// The one way past [`visible`].
    pub(super) fn verbatim(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Line(text.into()));
    }

    pub(super) fn field(&mut self, name: &'static str, value: impl Into<String>) {
        self.blocks.push(Block::Field {
            name,
            value: visible(&value.into()),
        });
    }

    pub(super) fn table(&mut self, table: Table) {
        self.blocks.push(Block::Table(table));
    }

    /// The page as text, every line ended. Tables take at most `room` columns, as far as that can be.
    pub(super) fn render(&self, look: Look, room: Option<usize>) -> String {
        let mut out = String::new();
        let names = self.blocks.iter().filter_map(|block| match block {
            Block::Field { name, .. } => Some(name.len()),
            Block::Line(_) | Block::Table(_) => None,
        });
        let width = names.max().unwrap_or(0) + 1;
        for block in &self.blocks {
            match block {
                Block::Line(line) => push_line(&mut out, line),
                Block::Field { name, value } => {
                    let name = bold(&format!("{:<width$}", format!("{name}:")), look);
                    push_line(&mut out, &format!("{name} {value}"));
                }
                Block::Table(table) => table.render(look, room, &mut out),
            }
        }
        out
    }
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

fn bold(text: &str, look: Look) -> String {
    match look {
        Look::Colored => format!("\u{1b}[1m{}\u{1b}[0m", text.trim_end()) + trailing(text),
        Look::Aligned | Look::Piped => text.to_owned(),
    }
}

fn trailing(text: &str) -> &str {
    text.get(text.trim_end().len()..).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::default();
        page.line("first");
        page.field("mode", "enforce");
        page.field("version", "1\u{1b}c");
        let mut table = Table::new(&["NETWORK", ">LEFT", "REASON"]);
        table.row(["192.0.2.7/32".into(), "1h".into(), "too\tfast".into()]);
        table.row(["2001:db8::/48".into(), "23h59m".into(), String::new()]);
        page.table(table);
        page
    }

    #[test]
    fn aligned_for_people() {
        let expected = "\
first
mode:    enforce
version: 1\\u{1b}c
NETWORK          LEFT  REASON
192.0.2.7/32       1h  too\\u{9}fast
2001:db8::/48  23h59m
";
        assert_eq!(page().render(Look::Aligned, None), expected);
    }

    #[test]
    fn tabs_for_pipes() {
        let expected = "192.0.2.7/32\t1h\ttoo\\u{9}fast\n2001:db8::/48\t23h59m\n";
        assert!(page().render(Look::Piped, None).ends_with(expected));
    }

    #[test]
    fn reports_keep_their_headings() {
        let mut page = Page::default();
        let mut table = Table::new(&["CAUSE", ">CALLS"]).in_report();
        table.row(["replay".into(), "2".into()]);
        page.table(table);
        assert_eq!(page.render(Look::Piped, None), "CAUSE   CALLS\nreplay      2\n");
    }

    #[test]
    fn color_changes_no_width() {
        let colored = page()
            .render(Look::Colored, None)
            .replace("\u{1b}[1m", "")
            .replace("\u{1b}[0m", "");
        assert_eq!(colored, page().render(Look::Aligned, None));
    }
}
