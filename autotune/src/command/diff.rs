//! `diff`: how two profiles differ.

use anyhow::Context as _;
use dustin::profile::Read;
use serde::Serialize;

use crate::{
    args::DiffArgs,
    book,
    console::Console,
    outcome::Exit,
    profiles::{self, Diff, Line, Side},
    table,
};

#[derive(Serialize)]
struct Report {
    a: String,
    b: String,
    /// What of the files could not be read.
    warnings: Vec<String>,
    #[serde(flatten)]
    diff: Diff,
}

/// Prints how B differs from A.
pub(crate) fn diff(args: &DiffArgs) -> anyhow::Result<Exit> {
    let console = Console::from(&args.console);
    let read = |path| book::read(path, console).context("diff");
    let (Read { profile: a, warnings: of_a }, Read { profile: b, warnings: of_b }) =
        (read(&args.a)?, read(&args.b)?);
    let mut diff = profiles::diff(&a, &b);
    // Of what could not be read nobody knows that it is the same.
    diff.same &= of_a.is_empty() && of_b.is_empty();
    let warnings = [(&args.a, of_a), (&args.b, of_b)].into_iter().flat_map(|(path, warnings)| {
        warnings.into_iter().map(move |warning| format!("{}: {warning}", path.display()))
    });
    let report = Report {
        a: args.a.display().to_string(),
        b: args.b.display().to_string(),
        warnings: warnings.collect(),
        diff,
    };
    tell(&report, console)?;
    console.print_json(&report)?;
    Ok(if report.diff.same { Exit::Done } else { Exit::Different })
}

fn tell(Report { a, b, diff, .. }: &Report, console: Console) -> anyhow::Result<()> {
    if !diff.same {
        console.print(&format!("A  {a}\nB  {b}"))?;
    }
    if !diff.provenance.is_empty() {
        let mut rows = table::new(&["provenance", "A", "B"], 3);
        for field in &diff.provenance {
            rows.add_row([&field.field, &field.a, &field.b]);
        }
        console.print(&rows.to_string())?;
    }
    if !diff.entries.is_empty() {
        let mut rows = table::new(&["bucket", "differs in", "A", "B", "A µs", "B µs", "B / A"], 4);
        for line in &diff.entries {
            rows.add_row(row(line));
        }
        console.print(&rows.to_string())?;
    }
    if !diff.selections.is_empty() {
        let mut rows = table::new(&["target", "draft", "differs in"], 3);
        for pair in &diff.selections {
            rows.add_row([&pair.target, &pair.draft, pair.change.word()]);
        }
        console.print(&rows.to_string())?;
    }
    Ok(console.print(&match (diff.unchanged, diff.same) {
        (unchanged, true) => format!("the same: {unchanged} buckets"),
        (unchanged, false) => format!("{unchanged} buckets are the same"),
    })?)
}

fn row(Line { bucket, change, a, b, ratio }: &Line) -> [String; 7] {
    let none = || "–".to_owned();
    let chosen = |side: &Option<Side>| {
        side.as_ref().map_or_else(none, |side| {
            let policy = if *change == profiles::Change::Policy {
                format!(", {}", side.policy)
            } else {
                String::new()
            };
            let manual = if side.manual { " (manual)" } else { "" };
            format!("{}{policy}{manual}", side.chosen)
        })
    };
    let us =
        |side: &Option<Side>| side.as_ref().and_then(|side| side.us).map_or_else(none, table::microseconds);
    let ratio = ratio.map_or_else(none, |ratio| format!("{ratio:.2}"));
    [bucket.clone(), change.word().to_owned(), chosen(a), chosen(b), us(a), us(b), ratio]
}
