//! An explanation for people.

use comfy_table::ContentArrangement;
use dustin::profile::Measurement;
use dustin_autotune::workload::counted;

use super::{Explained, Report, answer::Answer, space::Excluded};
use crate::{
    console::Console,
    table::{self, microseconds, percent},
    task::{policy, spell},
};

/// Characters in a line.
const WIDTH: u16 = 120;

/// Reasons that are told of each limit.
const REASONS: usize = 3;

pub(super) fn tell(report: &Report, console: Console) -> anyhow::Result<()> {
    for warning in &report.warnings {
        console.note(&format!("warning: {warning}"));
    }
    let of = if report.described { ", as its profile describes it" } else { "" };
    console.print(&format!("device    {}{of}", report.device))?;
    let profiles = if report.profiles.is_empty() { "none".into() } else { report.profiles.join(", ") };
    console.print(&format!("profiles  {profiles}"))?;
    for explained in &report.workloads {
        one(explained, console)?;
    }
    Ok(())
}

fn one(explained: &Explained, console: Console) -> anyhow::Result<()> {
    let Explained { workload, shape, bucket, key, answer, default, space } = explained;
    console.print("")?;
    let mut rows = table::new(&[workload, shape], 2);
    rows.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    let mut add = |field: &str, value: String| {
        rows.add_row([field.to_owned(), value]);
    };
    add("bucket", bucket.clone());
    add("timed", policy(key));
    add("served by", answer.chosen.clone());
    add("which is", source(answer));
    for field in &answer.differs {
        add("  differs in", format!("{}: {} asked for, {} tuned", field.field, field.asked, field.entry));
    }
    for miss in &answer.misses {
        add("  because", miss.clone());
    }
    if let Some(found) = &answer.measurement {
        add("on record", measured(found, answer.manual));
        for tied in &found.tied {
            let chosen = spell(&tied.variant, &tied.launch);
            add("  tied with", format!("{chosen}: {} µs", microseconds(tied.median_us)));
        }
    }
    add("default", if default.chosen == answer.chosen { "the same".into() } else { default.chosen.clone() });
    add("  by the rule", default.rule.into());
    add("candidates", format!("{} launches of {} variants", space.points, space.variants));
    for (name, values) in &space.parameters {
        add("  ", format!("{name}: {}", values.join(", ")));
    }
    let left_out: usize = space.excluded.iter().map(|excluded| excluded.points).sum();
    add("left out", left_out.to_string());
    for Excluded { bound, points, reasons, .. } in &space.excluded {
        let told = reasons.iter().take(REASONS).map(|(reason, count)| format!("{count} because: {reason}"));
        let mut told = told.collect::<Vec<_>>().join("\n");
        if reasons.len() > REASONS {
            let more = u32::try_from(reasons.len() - REASONS).unwrap_or(u32::MAX);
            told = format!("{told}\nand {} of this kind", counted(more, "other reason"));
        }
        add("", format!("{points} by {bound}\n{told}"));
    }
    Ok(console.print(&rows.to_string())?)
}

fn source(answer: &Answer) -> String {
    let distance = answer.distance.map_or_else(String::new, |far| format!("{far:.2}"));
    let (profile, entry) =
        (answer.profile.as_deref().unwrap_or_default(), answer.entry.as_deref().unwrap_or_default());
    match answer.source {
        "exact" => format!("the entry of this bucket in {profile}"),
        "near" => format!("the nearest entry in {profile}, {distance} octaves away: {entry}"),
        "other_gpu" => {
            format!(
                "the nearest entry of another GPU of this compute capability, in {profile}, {distance} octaves away: {entry}"
            )
        }
        _ => "the built-in default, without any entry".into(),
    }
}

fn measured(found: &Measurement, manual: bool) -> String {
    let us = microseconds;
    let Measurement { median_us, ci95_low_us, ci95_high_us, repetitions, default, .. } = found;
    let roofline =
        found.roofline_fraction.map_or_else(String::new, |share| format!(", roofline {}", percent(share)));
    let manual = if manual { "; edited by hand since, so it proves nothing" } else { "" };
    format!(
        "{} µs ({} to {} in 95 %, {repetitions} times){roofline}; the default {} µs, {:.2}x{manual}",
        us(*median_us),
        us(*ci95_low_us),
        us(*ci95_high_us),
        us(default.median_us),
        default.median_us / median_us
    )
}
