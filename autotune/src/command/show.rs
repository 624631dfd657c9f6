//! `show`: a profile as tables.

use dustin::profile::Entry;
use serde::Serialize;

use crate::{
    args::ShowArgs,
    book,
    console::Console,
    outcome::Exit,
    table,
    task::{name, spell},
};

#[derive(Serialize)]
struct Shown<'a> {
    provenance: &'a dustin::profile::Provenance,
    entries: &'a [Entry],
    selections: &'a [dustin::profile::Selection],
}

/// Prints the profile's provenance and entries. Nothing is checked against a device: that is what `verify` does.
pub(crate) fn show(args: &ShowArgs) -> anyhow::Result<Exit> {
    let console = Console::from(&args.console);
    let profile = book::read(&args.profile, console)?.profile;
    let mut facts = table::new(&["provenance", ""], 2);
    for (field, value) in toml::Table::try_from(&profile.provenance)? {
        facts.add_row([field, table::plain(&value)]);
    }
    console.print(&facts.to_string())?;

    let headings = ["bucket", "chosen", "µs", "95 % interval", "default µs", "speedup", "roofline", "tied"];
    let mut entries = table::new(&headings, 2);
    for entry in &profile.entries {
        entries.add_row(row(entry));
    }
    console.print(&entries.to_string())?;
    let selections = profile.selections.len();
    if selections > 0 {
        console.print(&format!("{selections} head selections"))?;
    }
    console.print_json(&Shown {
        provenance: &profile.provenance,
        entries: &profile.entries,
        selections: &profile.selections,
    })?;
    Ok(Exit::Done)
}

fn row(entry: &Entry) -> [String; 8] {
    let chosen = spell(&entry.choice.variant, &entry.choice.launch);
    let chosen = if entry.is_manual() { format!("{chosen} (manual)") } else { chosen };
    let none = || "–".to_owned();
    let Some(found) = &entry.measurement else {
        return [name(&entry.key), chosen, none(), none(), none(), none(), none(), none()];
    };
    let us = table::microseconds;
    [
        name(&entry.key),
        chosen,
        us(found.median_us),
        format!("{} – {}", us(found.ci95_low_us), us(found.ci95_high_us)),
        us(found.default.median_us),
        format!("{:.2}x", found.default.median_us / found.median_us),
        found.roofline_fraction.map_or_else(none, table::percent),
        found.tied.len().to_string(),
    ]
}
