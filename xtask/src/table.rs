//! The table of resources.

use comfy_table::{CellAlignment, Table, presets::NOTHING};

use crate::{occupancy::Multiprocessor, ptx::Built};

/// One line per entry and GPU that it was assembled for.
#[must_use]
pub fn resources(entries: &[Built]) -> Table {
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
    for built in entries {
        let entry = &built.entry;
        for (architecture, usage) in &built.usage {
            let blocks = Multiprocessor::of(architecture)
                .map(|sm| sm.blocks(entry.threads, usage.registers, entry.shared_bytes).to_string());
            table.add_row([
                entry.name.to_owned(),
                entry.target.name().to_owned(),
                (*architecture).to_owned(),
                entry.threads.to_string(),
                usage.registers.to_string(),
                entry.shared_bytes.to_string(),
                usage.stack.to_string(),
                usage.spills.to_string(),
                blocks.unwrap_or_default(),
            ]);
        }
    }
    table
}
