//! `audit`: what a profile does for problems that it was not tuned for.
//!
//! `draw` says which problems, `auditor` times them, `line` is what is said of each.

mod auditor;
mod draw;
mod line;

use anyhow::bail;
use dustin::profile::{Read, Tuned};
use serde::Serialize;

use self::{
    auditor::Auditor,
    draw::draw,
    line::{Line, Verdict, rows},
};
use crate::{
    book,
    command::devices::{find, occupy},
    console::Stop,
    device,
    outcome::{self, Exit},
    resolve::AuditRequest,
    search::median,
    table,
};

#[derive(Serialize)]
struct Report<'a> {
    device: &'a str,
    profile: String,
    problems: &'a [Line],
    slower: usize,
    wrong: usize,
    /// Median over all that were timed of the default's time, divided by the choice's.
    speedup: Option<f64>,
    /// The most that the choice loses to the fastest found, over all that were searched.
    worst_regret: Option<f64>,
    /// How many were searched, and for how many of these nothing faster was found.
    searched: usize,
    unbeaten: usize,
}

/// Draws problems that the profile was not tuned for, and times its choice for each against the default and, if asked, against the
/// fastest that a search finds.
pub(crate) fn audit(request: &AuditRequest, stop: &Stop) -> anyhow::Result<Exit> {
    let console = request.console;
    let (supervisor, device) = find(request.device, console)?;
    let path = request.profile.clone().unwrap_or_else(|| book::default_path(device.id()));
    // Before the profile is read: whoever measures the device may be writing it.
    let _lock = occupy(&supervisor, &device, request.device, console, stop)?;
    let Read { profile, .. } = book::read(&path, console)?;
    book::require_device(&path, &profile, device.id())?;
    let tasks = draw(request, &profile.entries, &device);
    if tasks.is_empty() {
        let place = if request.members { "outside the buckets" } else { "in a bucket" };
        bail!("{}: every problem that was drawn lies {place} that the profile holds", path.display());
    }
    let tuned = Tuned::new(profile.entries, device.catalogue());
    let auditor = Auditor { request, stop, device: &device, supervisor: &supervisor };
    let bar = console.bar(tasks.len(), "auditing");
    let (mut lines, mut lost) = (Vec::with_capacity(tasks.len()), None);
    for task in &tasks {
        if stop.asked() {
            break;
        }
        let found = tuned.find(&task.key)?;
        let line = match auditor.line(task, &found) {
            Ok(line) => line,
            Err(error) if device::is_lost(&error) => {
                lost = Some(error);
                break;
            }
            Err(error) => Line::unchecked(task, &found, outcome::sentence(&error)),
        };
        lines.push(line);
        bar.inc(1);
    }
    bar.finish_and_clear();

    let of = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    let speedups: Vec<f64> = lines.iter().filter_map(|line| Some(line.default_us? / line.us?)).collect();
    let regrets: Vec<f64> = lines.iter().filter_map(|line| line.regret).collect();
    let report = Report {
        device: &device.id().name,
        profile: path.display().to_string(),
        slower: of(Verdict::Slower),
        wrong: of(Verdict::Wrong),
        speedup: median(&speedups),
        worst_regret: regrets.iter().copied().max_by(f64::total_cmp),
        searched: regrets.len(),
        unbeaten: regrets.iter().filter(|&&regret| regret == 0.0).count(),
        problems: &lines,
    };
    console.print(&rows(&lines).to_string())?;
    console.print(&format!(
        "{} problems that were not tuned for: {} faster than the default, {} equal, {} the default itself, {} slower, {} wrong, {} unchecked",
        lines.len(),
        of(Verdict::Faster),
        of(Verdict::Equal),
        of(Verdict::Default),
        report.slower,
        report.wrong,
        of(Verdict::Unchecked),
    ))?;
    if let Some(speedup) = report.speedup {
        console.print(&format!("median speedup of the choices that are not the default: {speedup:.2}x"))?;
    }
    if let Some(regret) = report.worst_regret {
        console.print(&format!(
            "{} problems were searched: for {} nothing faster was found, and the most that a choice loses to the fastest found is {}",
            report.searched,
            report.unbeaten,
            table::percent(regret)
        ))?;
    }
    console.print_json(&report)?;
    match lost {
        Some(error) => Err(error),
        None if stop.asked() => Ok(Exit::Interrupted),
        None if report.slower + report.wrong + of(Verdict::Unchecked) > 0 => Ok(Exit::Unverified),
        None if report.worst_regret.is_some_and(|regret| regret > request.most_regret) => {
            Ok(Exit::Unverified)
        }
        None => Ok(Exit::Done),
    }
}
