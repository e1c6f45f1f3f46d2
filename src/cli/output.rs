//! Printing for people and programs.
//!
//! What came from outside never reaches a terminal raw: control characters, and characters that
//! turn the direction of text, are shown as `\u{…}`; what is longer than any honest value is cut.

use std::fmt::Write as _;
use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

/// As long as the longest URL that is kept; columns and terminals take no 64 kB.
const SHOWN_MAX_CHARS: usize = 2048;

/// Text that changes nothing on a terminal but the place it stands in.
pub fn printable(text: &str) -> String {
    let mut safe = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == SHOWN_MAX_CHARS {
            safe.push('…');
            break;
        }
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c.is_control() || turns {
            true => write!(safe, "\\u{{{:x}}}", u32::from(c)).expect("a String takes all"),
            false => safe.push(c),
        }
    }
    safe
}

/// The same line by line, where line ends are our own.
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(printable).collect();
    lines.join("\n")
}

/// One object a line.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// A head line of the objects' keys and a line each; lists are joined by spaces, objects within
/// are left to JSON.
pub fn csv(values: &[impl Serialize]) -> anyhow::Result<()> {
    let mut out = csv::Writer::from_writer(io::stdout().lock());
    for (at, value) in values.iter().enumerate() {
        let value = serde_json::to_value(value)?;
        let fields = value.as_object().context("a row of a table is an object")?;
        if at == 0 {
            out.write_record(fields.keys())?;
        }
        out.write_record(fields.values().map(cell))?;
    }
    out.flush()?;
    Ok(())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        Value::Array(items) if items.iter().all(|item| item.is_string()) => {
            let items: Vec<String> = items.iter().map(cell).collect();
            items.join(" ")
        }
        other => other.to_string(),
    }
}

/// A spreadsheet takes a cell that begins like a formula for one; a number's plus is none.
fn harmless(text: &str) -> String {
    let number = |rest: &str| {
        rest.chars()
            .all(|c| c.is_ascii_digit() || " -()/".contains(c))
    };
    let formula = match text.chars().next() {
        Some('=' | '@' | '\t' | '\r') => true,
        Some('+' | '-') => !number(&text[1..]),
        _ => false,
    };
    match formula {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

pub fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Columns as wide as their widest cell; the last one is not padded.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
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
        let csv = cause.downcast_ref::<csv::Error>().map(csv::Error::kind);
        let csv = csv.and_then(|kind| match kind {
            csv::ErrorKind::Io(error) => Some(error.kind()),
            _ => None,
        });
        io.or(json.and_then(|error| error.io_error_kind())).or(csv)
            == Some(io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::{harmless, printable};

    #[test]
    fn no_cell_is_a_formula() {
        for (text, expected) in [
            ("=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+420 774 852-629", "+420 774 852-629"),
            ("+1+cmd", "'+1+cmd"),
            ("-2+3", "'-2+3"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(harmless(text), expected);
        }
    }

    #[test]
    fn nothing_from_outside_moves_the_cursor() {
        assert_eq!(printable("+49 30 → Büro"), "+49 30 → Büro");
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(printable("\u{202e}gpj"), "\\u{202e}gpj");
        let long = "x".repeat(super::SHOWN_MAX_CHARS);
        assert_eq!(printable(&long), long);
        assert_eq!(printable(&format!("{long}yz")), format!("{long}…"));
    }
}
