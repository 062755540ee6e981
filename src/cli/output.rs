//! Results on stdout: a table for people, JSON for programs.
//!
//! Every result is a list of JSON objects first; the table is a view of them. So no form shows what
//! another hides by accident: a table names its columns.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value as Json, json};

use crate::args::Output;

/// Prints objects: as a table of the given columns, as one array, or one a line.
pub(crate) fn list(output: Output, columns: &[&str], rows: &[Json]) -> io::Result<()> {
    match output {
        Output::Table => line(&table(columns, rows)),
        Output::Json => line(&json!(rows).to_string()),
        Output::Ndjson => rows.iter().try_for_each(|row| line(&row.to_string())),
    }
}

/// Prints one object: as a table of names and values, or as JSON on one line.
pub(crate) fn object(output: Output, object: &Json) -> io::Result<()> {
    match (output, object.as_object()) {
        (Output::Table, Some(fields)) => {
            let rows: Vec<Json> = fields
                .iter()
                .map(|(name, value)| json!({"name": name, "value": cell(value)}))
                .collect();
            line(&table(&["name", "value"], &rows))
        }
        _ => line(&object.to_string()),
    }
}

/// One line on stdout. A reader that has gone is an error, not a panic.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// A table with one row for each object.
pub(crate) fn table(columns: &[&str], rows: &[Json]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns);
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(&row[*column])));
    }
    table.to_string()
}

fn cell(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_shows_its_columns_and_marks_what_is_missing() {
        let text = table(&["key", "version"], &[json!({"key": "c/p", "extra": 1})]);
        assert!(text.contains("key") && text.contains("c/p") && text.contains('-'), "{text}");
        assert!(!text.contains("extra"));
    }

    #[test]
    fn cells_show_text_without_quotes_and_objects_as_json() {
        assert_eq!(cell(&json!("a b")), "a b");
        assert_eq!(cell(&json!({"n": 1})), "{\"n\":1}");
    }
}
