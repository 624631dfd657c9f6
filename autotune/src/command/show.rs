//! `show`: a profile as tables.

use dustin::profile::{Entry, Provenance, Recovery, Selection};
use serde::Serialize;

use crate::{
    args::ShowArgs,
    book,
    console::Console,
    heads,
    outcome::Exit,
    table,
    task::{name, spell},
};

#[derive(Serialize)]
struct Shown<'a> {
    provenance: &'a Provenance,
    entries: &'a [Entry],
    selections: &'a [Selection],
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
    if !profile.selections.is_empty() {
        let headings =
            ["target", "draft", "heads", "recovery", "k", "m", "sinks", "recent", "pooling", "estimation µs"];
        let mut selections = table::new(&headings, 4);
        for selection in &profile.selections {
            selections.add_row(of_pair(selection));
        }
        console.print(&selections.to_string())?;
    }
    console.print_json(&Shown {
        provenance: &profile.provenance,
        entries: &profile.entries,
        selections: &profile.selections,
    })?;
    Ok(Exit::Done)
}

fn of_pair(selection: &Selection) -> [String; 10] {
    let Selection { k, m, sinks, recent, pooling, .. } = selection;
    let cost = selection.provenance.as_ref().and_then(|provenance| provenance.cost.as_ref());
    let recovery = |recovery: &Recovery| format!("{:.3}, at least {:.3}", recovery.mean, recovery.ci95_low);
    let [k, m, sinks, recent, pooling] = [k, m, sinks, recent, pooling].map(ToString::to_string);
    [
        selection.target_model.clone(),
        selection.draft_model.clone(),
        heads::spell(&selection.target_heads, &selection.draft_heads),
        selection.recovery.as_ref().map_or("uncalibrated".into(), recovery),
        k,
        m,
        sinks,
        recent,
        pooling,
        cost.map_or("–".into(), |cost| table::microseconds(cost.estimation_us)),
    ]
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
