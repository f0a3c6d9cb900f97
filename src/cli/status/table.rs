//! Columns of text, some of it in colour.

/// What a cell's colour means. The text says the same without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tint {
    Plain,
    Good,
    Warn,
    Bad,
    Quiet,
    Bold,
}

impl Tint {
    /// SGR parameters (ECMA-48, section 8.3.117).
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("1;31"),
            Self::Quiet => Some("2"),
            Self::Bold => Some("1"),
        }
    }

    pub(super) fn paint(self, text: &str, colour: bool) -> String {
        match self.code().filter(|_| colour && !text.is_empty()) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tint: Tint,
}

impl Cell {
    /// Characters that would move the cursor or ring the bell are shown as a space.
    pub(super) fn new(text: impl AsRef<str>, tint: Tint) -> Self {
        Self {
            text: plain(text.as_ref()),
            tint,
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

/// A table whose columns are as wide as their widest cells, with two spaces between.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn with_head(names: &[&str]) -> Self {
        let head = names.iter().map(|name| Cell::new(name, Tint::Quiet)).collect();
        Self { rows: vec![head] }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub(super) fn text(&self, colour: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        // A row of one cell is a heading: it may be longer than its column.
        let cells = |column: usize| {
            let rows = self.rows.iter().filter(|row| row.len() > 1);
            rows.filter_map(move |row| row.get(column))
        };
        let widths: Vec<usize> = (0..columns)
            .map(|column| cells(column).map(Cell::width).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            let mut gap = 0;
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&" ".repeat(gap));
                line.push_str(&cell.tint.paint(&cell.text, colour));
                gap = width.saturating_sub(cell.width()) + 2;
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let mut table = Table::with_head(&["A", "B", "C"]);
        table.row(vec![Cell::new("a heading that is long", Tint::Bold)]);
        table.row(vec![
            Cell::new("äöü", Tint::Bad),
            Cell::new("", Tint::Good),
            Cell::new("x\x1b[2J", Tint::Plain),
        ]);
        assert_eq!(table.text(false), "A    B  C\na heading that is long\näöü     x [2J\n");
        assert!(table.text(true).contains("\x1b[1;31mäöü\x1b[0m     x [2J"));
    }
}
