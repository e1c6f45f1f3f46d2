//! Rows as comma-separated values (RFC 4180), harmless to a spreadsheet.
//!
//! Never here: where they go.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// A head line of the rows' keys, where it is asked for, also where there are no rows, and a line
/// each; lists of words are joined by spaces, other structure is left to JSON.
pub fn csv<T: Serialize + JsonSchema>(rows: &[T], with_head: bool) -> Vec<u8> {
    let (mut table, columns) = (Vec::new(), columns::<T>());
    if with_head {
        record(&mut table, columns.clone());
    }
    for row in rows {
        // Rows are structs of named fields; whatever else it were would be no row.
        let Ok(Value::Object(fields)) = serde_json::to_value(row) else {
            continue;
        };
        let cells = columns
            .iter()
            .map(|column| fields.get(column).map_or_else(String::new, cell));
        record(&mut table, cells.collect());
    }
    table
}

fn columns<T: JsonSchema>() -> Vec<String> {
    let shape = schemars::schema_for!(T);
    let fields = shape.get("properties").and_then(Value::as_object);
    fields.map_or_else(Vec::new, |fields| fields.keys().cloned().collect())
}

/// Where a spreadsheet may part cells at something else than commas, quotes keep them whole.
fn record(table: &mut Vec<u8>, cells: Vec<String>) {
    let style = match cells.iter().any(|cell| cell.contains([';', '\t'])) {
        true => csv::QuoteStyle::Always,
        false => csv::QuoteStyle::Necessary,
    };
    let mut writer = csv::WriterBuilder::new()
        .quote_style(style)
        .from_writer(table);
    let written = writer
        .write_record(&cells)
        .and_then(|()| Ok(writer.flush()?));
    written.expect("memory takes every record");
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        Value::Array(items) if items.iter().all(Value::is_string) => {
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

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Serialize;

    use super::{csv, harmless};

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

    #[derive(Serialize, JsonSchema)]
    struct Row {
        b: &'static str,
        a: Vec<&'static str>,
        c: Option<u32>,
        d: f64,
    }

    #[test]
    fn quotes_and_lists() {
        let row = |b| Row {
            b,
            a: vec!["1", "2"],
            c: None,
            d: 0.5,
        };
        let table = csv(&[row("x,\"y\""), row("x;=1+1")], true);
        let expected = "b,a,c,d\n\"x,\"\"y\"\"\",1 2,,0.5\n\"x;=1+1\",\"1 2\",\"\",\"0.5\"\n";
        assert_eq!(String::from_utf8(table).unwrap(), expected);
        assert_eq!(csv::<Row>(&[], true), b"b,a,c,d\n");
        assert_eq!(csv::<Row>(&[], false), b"");
    }
}
