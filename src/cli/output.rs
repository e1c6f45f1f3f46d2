//! Printing for people and programs.
//!
//! What came from outside never reaches a terminal raw: control characters, and characters that
//! turn the direction of text, are shown as `\u{…}`; what is longer than any honest value is cut.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog::{story, table};

/// As long as the longest URL that is kept; columns and terminals take no 64 kB.
const SHOWN_MAX_CHARS: usize = 2048;

/// Text that changes nothing on a terminal but the place it stands in.
pub fn printable(text: &str) -> String {
    let mut safe = escaped(text.chars().take(SHOWN_MAX_CHARS));
    if text.chars().nth(SHOWN_MAX_CHARS).is_some() {
        safe.push('…');
    }
    safe
}

fn escaped(text: impl Iterator<Item = char>) -> String {
    let mut safe = String::new();
    for c in text {
        match is_unseen(c) {
            true => write!(safe, "\\u{{{:x}}}", u32::from(c)).expect("a String takes all"),
            false => safe.push(c),
        }
    }
    safe
}

/// Controls, and what is not seen but turns text, breaks lines or hides between letters.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The same line by line, where line ends are our own.
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(printable).collect();
    lines.join("\n")
}

/// One object a line. What is not seen is escaped, which means the same to who reads it.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = String::new();
    for c in serde_json::to_string(value)?.chars() {
        match is_unseen(c) {
            // None of them is beyond the first plane.
            true => write!(text, "\\u{:04x}", u32::from(c))?,
            false => text.push(c),
        }
    }
    line(&text)
}

/// A head line of the objects' keys, where it is the beginning, and a line each.
pub fn csv<T: Serialize + JsonSchema>(values: &[T], with_head: bool) -> anyhow::Result<()> {
    let table = table::csv(values, with_head);
    let mut out = io::stdout().lock();
    match out.is_terminal() {
        // A file gets what there is; whoever looks sees it as in any table.
        true => {
            for line in String::from_utf8_lossy(&table).lines() {
                writeln!(out, "{}", escaped(line.chars()))?;
            }
        }
        false => out.write_all(&table)?,
    }
    Ok(())
}

/// On the wall clock of the PBX, where the settings still know it.
pub fn local(at: &str, zone: Option<&TimeZone>) -> Option<String> {
    zone.map(|zone| story::local(at, zone))
}

/// Both, one beside the other.
pub fn with_local(at: Option<&str>, zone: Option<&TimeZone>) -> String {
    let both = at.map(|at| match local(at, zone) {
        Some(local) => format!("{at} (local {local})"),
        None => at.to_owned(),
    });
    or_dash(both)
}

fn cut(cell: String) -> String {
    match cell.char_indices().nth(CELL_MAX_CHARS) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell,
    }
}

pub fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(())
}

/// One overlong value must not push all others out of sight. No id is longer.
const CELL_MAX_CHARS: usize = 120;

/// Columns as wide as their widest cell; the last one is not padded, and never cut.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let last = row.len().saturating_sub(1);
            let cells = row.iter().map(|cell| printable(cell)).enumerate();
            cells
                .map(|(at, cell)| if at < last { cut(cell) } else { cell })
                .collect()
        })
        .collect();
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let shown = |cells: Vec<&str>| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            write!(text, "{cell:<width$}  ").expect("a String takes all");
        }
        text.trim_end().to_owned()
    };
    line(&shown(head.to_vec()))?;
    for row in &rows {
        line(&shown(row.iter().map(String::as_str).collect()))?;
    }
    Ok(())
}

/// `–` for what is not known.
pub fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "–".to_owned(), |text| text.to_string())
}

/// Whoever read our output has seen enough: that is success.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>();
        io.or(json.and_then(|error| error.io_error_kind())) == Some(io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_from_outside_moves_the_cursor() {
        assert_eq!(printable("+49 30 → Büro"), "+49 30 → Büro");
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(printable("\u{202e}gpj"), "\\u{202e}gpj");
        assert_eq!(printable("a\u{200b}b\u{2028}"), "a\\u{200b}b\\u{2028}");
        let long = "x".repeat(super::SHOWN_MAX_CHARS);
        assert_eq!(printable(&long), long);
        assert_eq!(printable(&format!("{long}yz")), format!("{long}…"));
    }
}
