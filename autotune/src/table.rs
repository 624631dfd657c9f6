//! Tables for people.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::report::{EveryBatch, Row};

/// Columns apart by space alone, a line below the headings.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table with `headings`; columns from `numbers` on are aligned to the right.
pub(crate) fn new(headings: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(headings.iter().copied());
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if index >= numbers {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The results of `tune`.
pub(crate) fn results(rows: &[Row]) -> Table {
    let headings =
        ["workload", "chosen", "µs", "default µs", "speedup", "GB/s", "roofline", "tried", "rejected"];
    let mut table = new(&headings, 2);
    for row in rows {
        let tried = match row.untried {
            0 => row.tried.to_string(),
            untried => format!("{} of {}", row.tried, row.tried + untried),
        };
        table.add_row([
            row.workload.clone(),
            row.chosen.clone(),
            microseconds(row.us),
            row.default_us.map_or("cannot serve".into(), microseconds),
            row.speedup.map_or("–".into(), |speedup| format!("{speedup:.2}x")),
            format!("{:.1}", row.gigabytes_per_second),
            row.roofline.map_or("–".into(), percent),
            tried,
            row.rejected.len().to_string(),
        ]);
    }
    table
}

/// What `tune` chose for every batch, a line for each of them.
pub(crate) fn every_batch(choices: &[EveryBatch]) -> Table {
    let headings = ["workload", "chosen for every batch", "best for this one", "µs", "best µs", "slower by"];
    let mut table = new(&headings, 3);
    for (choice, batch) in
        choices.iter().flat_map(|choice| choice.batches.iter().map(move |batch| (choice, batch)))
    {
        table.add_row([
            batch.workload.clone(),
            choice.chosen.clone(),
            batch.best.clone(),
            microseconds(batch.us),
            microseconds(batch.best_us),
            percent(batch.ratio - 1.0),
        ]);
    }
    table
}

/// A time, with the digits that matter.
pub(crate) fn microseconds(us: f64) -> String {
    if us < 1000.0 { format!("{us:.2}") } else { format!("{us:.0}") }
}

/// A length of time.
pub(crate) fn seconds(seconds: f64) -> String {
    let seconds = seconds.ceil().max(1.0);
    if seconds < 100.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", (seconds / 60.0).ceil()) }
}

/// A value without the marks of TOML.
pub(crate) fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Table(fields) => fields.values().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A size in memory.
pub(crate) fn bytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// A share of attention, with the digits that tell candidates apart.
pub(crate) fn share(share: f64) -> String {
    format!("{share:.4}")
}

/// A fraction as a percentage.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.0} %", fraction * 100.0)
}
