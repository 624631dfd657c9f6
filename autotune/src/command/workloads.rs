//! `--list-workloads`: the built-in workloads.

use dustin_autotune::workload::{self, Workload};
use serde::Serialize;

use crate::{args::ConsoleArgs, console::Console, outcome::Exit, table};

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    device: &'static str,
    shape: String,
    bytes: u64,
}

/// Prints the built-in workloads.
pub(crate) fn list_workloads(args: &ConsoleArgs) -> anyhow::Result<Exit> {
    let console = Console::from(args);
    let mut listed = Vec::new();
    for (name, device, shape) in workload::built_in() {
        let workload = Workload::new(name.into(), shape)?;
        listed.push(Listed { name, device, shape: workload.describe(), bytes: workload.problem.bytes() });
    }
    let mut rows = table::new(&["workload", "default on", "shape", "MB per launch"], 3);
    for Listed { name, device, shape, bytes } in &listed {
        let megabytes = format!("{:.1}", *bytes as f64 / 1e6);
        rows.add_row([(*name).to_owned(), (*device).to_owned(), shape.clone(), megabytes]);
    }
    console.print(&rows.to_string())?;
    console.print_json(&listed)?;
    Ok(Exit::Done)
}
