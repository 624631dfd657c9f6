//! `verify`: whether a profile is still right, and still as fast, on the device at hand.

use anyhow::bail;
use comfy_table::Table;
use dustin::profile::{Entry, Read, Tuned};
use serde::Serialize;

use crate::{
    book,
    command::devices::{find, occupy},
    console::Stop,
    device::{self, Device},
    outcome::{self, Exit},
    resolve::VerifyRequest,
    search::{Bench, Estimate, Failure, SearchError, bursts},
    table,
    task::{Task, name, spell},
    worker::Supervisor,
};

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
    /// There is no room for the problem here, so nothing is known.
    Unchecked,
}

impl Verdict {
    const fn holds(self) -> bool {
        matches!(self, Self::Holds | Self::Unmeasured)
    }
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

impl Line {
    fn new(entry: &Entry, verdict: Verdict, us: Option<f64>, remark: String) -> Self {
        Self {
            bucket: name(&entry.key),
            chosen: spell(&entry.choice.variant, &entry.choice.launch),
            recorded_us: entry.measurement.as_ref().map(|found| found.median_us),
            us,
            verdict,
            remark,
        }
    }
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
    let (supervisor, device) = find(request.device, console)?;
    let path = request.profile.clone().unwrap_or_else(|| book::default_path(device.id()));
    if request.profile.is_none() && !path.exists() {
        bail!("there is no profile {} to verify yet: run `autotune tune`, or name a file", path.display());
    }
    // Before the profile is read: whoever measures the device may be writing it.
    let _lock = occupy(&supervisor, &device, request.device, console, stop)?;
    let Read { profile, warnings: damage } = book::read(&path, console)?;
    book::require_device(&path, &profile, device.id())?;
    if profile.entries.is_empty() && damage.is_empty() {
        bail!("{} has no entries to verify; run `autotune tune` first", path.display());
    }
    let differences = profile.provenance.differences(device.provenance());
    for difference in &differences {
        console.note(&format!("warning: {difference}"));
    }

    let bar = console.bar(profile.entries.len(), "verifying");
    let (lines, lost) = lines(&profile.entries, stop, |entry| {
        let line = line(entry, &device, &supervisor, request);
        bar.inc(1);
        line
    });
    bar.finish_and_clear();

    // What could not be read cannot be right.
    let holds = damage.is_empty() && lost.is_none() && lines.iter().all(|line| line.verdict.holds());
    if !lines.is_empty() {
        console.print(&rows(&lines).to_string())?;
    }
    let report = Report {
        device: &device.id().name,
        profile: path.display().to_string(),
        holds,
        warnings: damage.iter().chain(&differences).map(ToString::to_string).collect(),
        entries: &lines,
    };
    console.print_json(&report)?;
    match lost {
        Some(error) => Err(error),
        None if stop.asked() => Ok(Exit::Interrupted),
        None => Ok(if holds { Exit::Done } else { Exit::Unverified }),
    }
}

/// The lines of `entries`, as `verify` gives them, and the error that ended it before the last: the user's wish to
/// stop is none, a lost device is.
fn lines(
    entries: &[Entry],
    stop: &Stop,
    mut verify: impl FnMut(&Entry) -> anyhow::Result<Line>,
) -> (Vec<Line>, Option<anyhow::Error>) {
    let mut lines = Vec::with_capacity(entries.len());
    for entry in entries {
        if stop.asked() {
            break;
        }
        match verify(entry) {
            Ok(line) => lines.push(line),
            Err(error) if device::is_lost(&error) => return (lines, Some(error)),
            Err(error) => {
                lines.push(Line::new(entry, Verdict::Unchecked, None, outcome::sentence(&error)));
            }
        }
    }
    (lines, None)
}

fn rows(lines: &[Line]) -> Table {
    let mut rows = table::new(&["bucket", "chosen", "verdict", "remark", "recorded µs", "µs"], 4);
    for line in lines {
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
    rows
}

/// Verifies one entry.
///
/// # Errors
/// The device is lost, or it or this machine cannot hold the problem.
fn line(
    entry: &Entry,
    device: &Device,
    supervisor: &Supervisor,
    request: &VerifyRequest,
) -> anyhow::Result<Line> {
    let answer = |verdict, us, remark| Line::new(entry, verdict, us, remark);
    let tuned = Tuned::new([entry.clone()], device.catalogue());
    if tuned.entries().is_empty() || entry.key.device != *device.id() {
        let reason = tuned.warnings().iter().map(ToString::to_string).next();
        return Ok(answer(Verdict::Stale, None, reason.unwrap_or_else(|| "of another device".into())));
    }
    let task = Task::of_choice(&entry.key, &entry.choice);
    let mut bench = supervisor.bench(device, &task, request.seed)?;
    let time = match measure(&mut bench) {
        Ok(time) => time,
        Err(Failure::Candidate(reason)) => return Ok(answer(Verdict::Wrong, None, reason)),
        Err(Failure::Device(reason)) => return Err(SearchError::Device(reason).into()),
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
    bench.confirm(0)?;
    bursts(bench, 0)
}

#[cfg(test)]
mod tests {
    use dustin::{
        attention::problem::AttentionProblem,
        profile::{Choice, DeviceId, Key, Launch, Policy},
    };
    use dustin_autotune::workload::{Problem, named};

    use super::*;

    fn entries() -> Vec<Entry> {
        let Problem::Attention(problem) = named("w1").unwrap().problem else { panic!("of attention") };
        let key = |batch| {
            let problem = AttentionProblem { batch, total_rows: 5 * batch, ..problem };
            Key::of(&problem, &DeviceId::gpu("any", 9, 0), Policy::default())
        };
        let choice =
            Choice { variant: "any".into(), revision: 1, ptx_digest: None, launch: Launch::default() };
        [1, 2, 4].map(|batch| Entry::manual(key(batch), choice.clone())).into()
    }

    /// Verifies three entries, the second with `error`.
    fn verify(error: fn() -> anyhow::Error) -> (Vec<Verdict>, Option<anyhow::Error>) {
        let entries = entries();
        let second = entries[1].key.clone();
        let (lines, lost) = lines(&entries, &Stop::default(), |entry| match &entry.key {
            key if *key == second => Err(error().context("workload w1")),
            _ => Ok(Line::new(entry, Verdict::Holds, None, String::new())),
        });
        (lines.iter().map(|line| line.verdict).collect(), lost)
    }

    #[test]
    fn an_entry_that_the_device_cannot_hold_does_not_hide_the_others() {
        let (verdicts, lost) = verify(|| anyhow::anyhow!("the device has no room"));
        assert_eq!(verdicts, [Verdict::Holds, Verdict::Unchecked, Verdict::Holds]);
        assert!(lost.is_none() && !Verdict::Unchecked.holds());
    }

    #[test]
    fn a_lost_device_ends_verification_and_leaves_what_was_verified_before() {
        let (verdicts, lost) = verify(|| SearchError::Device("it fell off the bus".into()).into());
        assert_eq!(verdicts, [Verdict::Holds]);
        assert!(lost.unwrap().to_string().contains("w1"));
    }
}
