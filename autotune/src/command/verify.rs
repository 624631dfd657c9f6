//! `verify`: whether a profile is still right, and still as fast, on the device at hand.

use anyhow::bail;
use dustin::profile::{Entry, Tuned};
use serde::Serialize;

use crate::{
    book,
    console::Stop,
    device::{self, Device},
    outcome::Exit,
    resolve::VerifyRequest,
    search::{Bench, Estimate, Failure},
    table,
    task::{Task, name, spell},
};

/// Bursts in which a choice is timed, and repetitions of each.
const BURSTS: u32 = 9;
const REPETITIONS: u32 = 3;

/// What `verify` says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// Valid, correct, and as fast as recorded.
    Holds,
    /// Valid and correct; no time is on record.
    Unmeasured,
    /// Correct, but slower than recorded.
    Slower,
    /// Its results are wrong, or it does not run.
    Wrong,
    /// It does not belong to this build or device.
    Stale,
}

#[derive(Serialize)]
struct Line {
    bucket: String,
    chosen: String,
    recorded_us: Option<f64>,
    us: Option<f64>,
    verdict: Verdict,
    remark: String,
}

#[derive(Serialize)]
struct Report<'a> {
    device: &'a str,
    profile: String,
    holds: bool,
    warnings: Vec<String>,
    entries: &'a [Line],
}

/// Checks every entry of the profile.
pub(crate) fn verify(request: &VerifyRequest, stop: &Stop) -> anyhow::Result<Exit> {
    let console = request.console;
    let device = device::open(request.device, console)?;
    let path = request.profile.clone().unwrap_or_else(|| book::default_path(device.id()));
    if request.profile.is_none() && !path.exists() {
        bail!("there is no profile {} to verify yet: run `autotune tune`, or name a file", path.display());
    }
    let profile = book::read(&path, console)?;
    book::require_device(&path, &profile, device.id())?;
    if profile.entries.is_empty() {
        bail!("{} has no entries to verify; run `autotune tune` first", path.display());
    }
    let differences = profile.provenance.differences(&device.provenance());
    let warnings: Vec<String> = differences.iter().map(ToString::to_string).collect();
    for warning in &warnings {
        console.note(&format!("warning: {warning}"));
    }

    let bar = console.bar(profile.entries.len(), "verifying");
    let mut lines = Vec::with_capacity(profile.entries.len());
    for entry in &profile.entries {
        if stop.asked() {
            break;
        }
        lines.push(line(entry, device.as_ref(), request)?);
        bar.inc(1);
    }
    bar.finish_and_clear();

    let holds = lines.iter().all(|line| matches!(line.verdict, Verdict::Holds | Verdict::Unmeasured));
    let mut rows = table::new(&["bucket", "chosen", "verdict", "remark", "recorded µs", "µs"], 4);
    for line in &lines {
        let us = |us: Option<f64>| us.map_or("–".into(), table::microseconds);
        rows.add_row([
            line.bucket.clone(),
            line.chosen.clone(),
            format!("{:?}", line.verdict).to_lowercase(),
            line.remark.clone(),
            us(line.recorded_us),
            us(line.us),
        ]);
    }
    console.print(&rows.to_string());
    let report = Report {
        device: &device.id().name,
        profile: path.display().to_string(),
        holds,
        warnings,
        entries: &lines,
    };
    console.print_json(&report)?;
    Ok(match (stop.asked(), holds) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Done,
        (false, false) => Exit::Unverified,
    })
}

/// Verifies one entry.
///
/// # Errors
/// The device is lost, or cannot hold the problem.
fn line(entry: &Entry, device: &dyn Device, request: &VerifyRequest) -> anyhow::Result<Line> {
    let recorded_us = entry.measurement.as_ref().map(|found| found.median_us);
    let answer = |verdict, us, remark| Line {
        bucket: name(&entry.key),
        chosen: spell(&entry.choice.variant, &entry.choice.launch),
        recorded_us,
        us,
        verdict,
        remark,
    };
    let tuned = Tuned::new([entry.clone()], device.catalogue());
    if tuned.entries().is_empty() || entry.key.device != *device.id() {
        let reason = tuned.warnings().iter().map(ToString::to_string).next();
        return Ok(answer(Verdict::Stale, None, reason.unwrap_or_else(|| "of another device".into())));
    }
    let task = Task::of_choice(&entry.key, &entry.choice);
    let mut bench = device.bench(&task, request.seed)?;
    let time = match measure(bench.as_mut()) {
        Ok(time) => time,
        Err(Failure::Candidate(reason)) => return Ok(answer(Verdict::Wrong, None, reason)),
        Err(Failure::Device(reason)) => bail!("the device no longer answers: {reason}"),
    };
    let us = Some(time.median);
    let Some(found) = &entry.measurement else { return Ok(answer(Verdict::Unmeasured, us, String::new())) };
    let limit = found.median_us * request.factor;
    // Both must be above: one median may be noise, one interval may be narrow.
    if time.median > limit && time.low > found.ci95_high_us {
        return Ok(answer(Verdict::Slower, us, format!("at most {} expected", table::microseconds(limit))));
    }
    Ok(answer(Verdict::Holds, us, String::new()))
}

/// Checks and times the one candidate of `bench`.
fn measure(bench: &mut dyn Bench) -> Result<Estimate, Failure> {
    bench.check(0)?;
    let mut times = Vec::new();
    for _ in 0..BURSTS {
        times.extend(bench.time(0, REPETITIONS)?);
    }
    Estimate::of(&times).ok_or_else(|| Failure::Candidate("it gave no times".into()))
}
