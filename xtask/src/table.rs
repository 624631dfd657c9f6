//! The table of resources.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets::NOTHING};

use crate::{manifest::Record, occupancy::Multiprocessor};

/// One line per entry, by name, and GPU that it was assembled for.
#[must_use]
pub fn resources(entries: &BTreeMap<String, Record>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "entry",
        "target",
        "GPU",
        "threads",
        "registers",
        "shared",
        "stack",
        "spills",
        "blocks/SM",
    ]);
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (name, record) in entries {
        for (gpu, &registers) in &record.registers {
            let blocks = Multiprocessor::of(gpu)
                .map(|sm| sm.blocks(record.threads, registers, record.shared_bytes).to_string());
            table.add_row([
                name.clone(),
                record.target.clone(),
                gpu.clone(),
                record.threads.to_string(),
                registers.to_string(),
                record.shared_bytes.to_string(),
                record.stack_bytes.to_string(),
                record.spill_bytes.to_string(),
                blocks.unwrap_or_default(),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manifest_records_is_shown_for_each_gpu() {
        let record = Record {
            target: "sm_80".into(),
            threads: 128,
            shared_bytes: 4096,
            sha256: String::new(),
            registers: BTreeMap::from([("sm_80".into(), 138), ("sm_90".into(), 90)]),
            stack_bytes: 8,
            spill_bytes: 4,
        };
        let table = resources(&BTreeMap::from([("kernel".to_owned(), record)])).to_string();
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 3, "{table}");
        assert_eq!(rows[1], ["kernel", "sm_80", "sm_80", "128", "138", "4096", "8", "4", "3"]);
        assert_eq!(rows[2], ["kernel", "sm_80", "sm_90", "128", "90", "4096", "8", "4", "5"]);
    }
}
