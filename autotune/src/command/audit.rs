//! `audit`: what a profile does for problems that it was not tuned for.

use std::collections::HashSet;

use anyhow::{Context as _, bail};
use comfy_table::Table;
use dustin::profile::{Entry, Found, IndexSet, KernelKey, Key, Read, Source, Tuned};
use dustin_autotune::workload::{Bounds, random};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use crate::{
    book,
    command::open,
    console::{Stop, Watch},
    device::{self, Device, memory},
    lock::Lock,
    outcome::{self, Exit},
    resolve::AuditRequest,
    search::{
        Bench, Course, Failure, Field, MethodKind, RunOff, SearchError, Settings, median, run_off, search,
    },
    table,
    task::{Task, name, spell},
    worker::Supervisor,
};

/// A choice is slower than the default if the interval of what it loses lies above this share of the default's time …
const RELATIVE: f64 = 0.01;
/// … and above these microseconds.
const ABSOLUTE: f64 = 0.15;

/// How many draws in a row may fall into buckets that are known, before there are no others.
const DRAWS: usize = 1_000;

/// What the profile's choice is worth for one problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// The default itself.
    Default,
    /// Faster than the default, with the interval's confidence.
    Faster,
    /// Neither faster nor slower by more than the bound.
    Equal,
    /// Slower than the default by more than the bound.
    Slower,
    /// Its results are wrong, or it does not run.
    Wrong,
    /// There is no room for the problem here, so nothing is known.
    Unchecked,
}

#[derive(Serialize)]
struct Line {
    workload: String,
    bucket: String,
    /// Where the choice comes from.
    source: String,
    chosen: String,
    default: String,
    us: Option<f64>,
    default_us: Option<f64>,
    /// The default's time less the choice's: the 95 % confidence interval of its median over pairs.
    gain_us: Option<[f64; 2]>,
    /// How much longer the choice takes than the fastest that a search of the problem found.
    regret: Option<f64>,
    verdict: Verdict,
    remark: String,
}

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
}

/// Draws problems of buckets that the profile does not hold, and times its choice for each against the default.
pub(crate) fn audit(request: &AuditRequest, stop: &Stop) -> anyhow::Result<Exit> {
    let console = request.console;
    let (supervisor, device) = open(request.device, console)?;
    let path = request.profile.clone().unwrap_or_else(|| book::default_path(device.id()));
    let Read { profile, .. } = book::read(&path, console)?;
    book::require_device(&path, &profile, device.id())?;
    let tasks = draw(request, &profile.entries, &device);
    if tasks.is_empty() {
        bail!("{}: every problem that was drawn lies in a bucket that the profile holds", path.display());
    }
    let tuned = Tuned::new(profile.entries, device.catalogue());
    if let Some(warning) = device.require_alone(request.device.shared)? {
        console.note(&warning);
    }
    let _lock = Lock::take(&device, request.device.wait, stop)?;
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
            Err(error) => {
                Line { remark: outcome::sentence(&error), ..Line::new(task, &found, Verdict::Unchecked) }
            }
        };
        lines.push(line);
        bar.inc(1);
    }
    bar.finish_and_clear();

    let of = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    let speedups: Vec<f64> = lines.iter().filter_map(|line| Some(line.default_us? / line.us?)).collect();
    let regrets = lines.iter().filter_map(|line| line.regret);
    let report = Report {
        device: &device.id().name,
        profile: path.display().to_string(),
        slower: of(Verdict::Slower),
        wrong: of(Verdict::Wrong),
        speedup: median(&speedups),
        worst_regret: regrets.max_by(f64::total_cmp),
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
            "the most that a choice loses to the fastest found: {}",
            table::percent(regret)
        ))?;
    }
    console.print_json(&report)?;
    match lost {
        Some(error) => Err(error),
        None if stop.asked() => Ok(Exit::Interrupted),
        None if report.slower + report.wrong + of(Verdict::Unchecked) > 0 => Ok(Exit::Unverified),
        None => Ok(Exit::Done),
    }
}

/// Tasks of distinct buckets that `entries` do not hold: neighbours of theirs, which a choice of theirs may serve, and any others in
/// turns.
fn draw(request: &AuditRequest, entries: &[Entry], device: &Device) -> Vec<Task> {
    let mut rng = Pcg64Mcg::seed_from_u64(request.seed);
    let bounds = if device.id().is_gpu() { Bounds::GPU } else { Bounds::CPU };
    let mut known: HashSet<Key> = entries.iter().map(|entry| entry.key.clone()).collect();
    let (mut tasks, mut failed) = (Vec::new(), 0);
    while tasks.len() < request.problems && failed < DRAWS {
        let near = entries.choose(&mut rng).filter(|_| (tasks.len() + failed).is_multiple_of(2));
        let task = match near {
            Some(entry) => {
                let key = neighbour(&entry.key, &mut rng);
                Task::of_key(name(&key), key, device)
            }
            None => Task::new(&random(&mut rng, bounds), device),
        };
        // What no variant serves has no default to compare with, and not every key is one that a problem can have.
        let fits = |task: &Task| {
            task.key.validate().is_ok()
                && Key::of(&task.problem, &task.key.device, task.key.policy) == task.key
                && memory::bytes(&task.problem) <= 4 * bounds.cache_bytes
        };
        match task {
            Ok(task) if fits(&task) && known.insert(task.key.clone()) => {
                tasks.push(task);
                failed = 0;
            }
            _ => failed += 1,
        }
    }
    tasks
}

/// The key with one or two of its sizes doubled or halved.
fn neighbour(key: &Key, rng: &mut Pcg64Mcg) -> Key {
    let mut key = key.clone();
    for _ in 0..rng.random_range(1..=2_u32) {
        let sizes: Vec<&mut u32> = match &mut key.kernel {
            KernelKey::SparseAttention(key) => match rng.random_range(0..5_u32) {
                0 => vec![&mut key.batch],
                1 => vec![&mut key.rows],
                2 => vec![&mut key.page_size],
                // What is read as a whole is as long as its sequence.
                _ if key.index_set == IndexSet::Everything => {
                    vec![&mut key.length_class, &mut key.set_capacity]
                }
                3 => vec![&mut key.set_capacity],
                _ => vec![&mut key.length_class],
            },
            KernelKey::SrhScore(key) => match rng.random_range(0..4_u32) {
                0 => vec![&mut key.batch],
                1 => vec![&mut key.tokens],
                2 => vec![&mut key.page_size],
                _ => vec![&mut key.length_class, &mut key.mean_length],
            },
            KernelKey::Selection(key) => match rng.random_range(0..3_u32) {
                0 => vec![&mut key.batch],
                1 => vec![&mut key.budget],
                _ => vec![&mut key.mean_length],
            },
        };
        let doubled = rng.random_bool(0.5);
        for size in sizes {
            *size = if doubled { size.saturating_mul(2) } else { (*size / 2).max(1) };
        }
    }
    key
}

impl Line {
    fn new(task: &Task, found: &Found, verdict: Verdict) -> Self {
        Self {
            workload: task.name.clone(),
            bucket: name(&task.key),
            source: match &found.source {
                Source::Exact => "its own entry".into(),
                Source::Near { distance } => format!("near by {distance:.2}"),
                Source::OtherGpu { name, .. } => name.clone(),
                Source::Default => "default".into(),
            },
            chosen: spell(&found.choice.variant, &found.choice.launch),
            default: task.points[task.default].to_string(),
            us: None,
            default_us: None,
            gain_us: None,
            regret: None,
            verdict,
            remark: String::new(),
        }
    }
}

/// What times the problems.
struct Auditor<'a> {
    request: &'a AuditRequest,
    stop: &'a Stop,
    device: &'a Device,
    supervisor: &'a Supervisor,
}

impl Auditor<'_> {
    /// # Errors
    /// The device cannot hold the problem, or is lost.
    fn line(&self, whole: &Task, found: &Found) -> anyhow::Result<Line> {
        let default = &whole.points[whole.default].choice;
        let same = whole.position(&found.choice) == Some(whole.default);
        if same && self.request.trials == 0 {
            return Ok(Line::new(whole, found, Verdict::Default));
        }
        let pair;
        let task = if self.request.trials == 0 {
            pair = Task::of_choices(
                whole.name.clone(),
                &whole.key,
                &[default.clone(), found.choice.clone().into_owned()],
            );
            &pair
        } else {
            whole
        };
        let chosen = task.position(&found.choice).context("the choice is no point of the space")?;
        let mut bench = self.supervisor.bench(self.device, task, self.request.seed)?;
        let mut line = Line::new(whole, found, Verdict::Default);
        if self.request.trials > 0 {
            line.regret = self.regret(task, chosen, &mut bench)?;
        }
        if same {
            return Ok(line);
        }
        match self.compare(task.field(), chosen, &mut bench) {
            Ok(run_off) => {
                let RunOff { challenger, default, gain } = run_off;
                line.us = Some(challenger.median);
                line.default_us = Some(default.median);
                line.gain_us = Some([gain.low, gain.high]);
                line.verdict = verdict(&run_off);
            }
            Err(Failure::Candidate(reason)) => {
                (line.verdict, line.remark) = (Verdict::Wrong, reason);
            }
            Err(Failure::Device(reason)) => return Err(SearchError::Device(reason).into()),
        }
        Ok(line)
    }

    /// The choice against the default, in pairs.
    fn compare(&self, field: Field<'_>, chosen: usize, bench: &mut dyn Bench) -> Result<RunOff, Failure> {
        for candidate in [field.default, chosen] {
            bench.check(candidate)?;
        }
        run_off(bench, chosen, field.default, self.device.settings().pairs)
            .map_err(|(_, failure)| failure)?
            .ok_or_else(|| Failure::Candidate("it gave no times".into()))
    }

    /// What the choice loses to the fastest of a search that begins with it; nothing if it does not serve.
    fn regret(&self, task: &Task, chosen: usize, bench: &mut dyn Bench) -> anyhow::Result<Option<f64>> {
        // However slow the choice is, that is the question.
        let settings = Settings { reach: f64::INFINITY, pairs: 0, ..self.device.settings() };
        let course = Course::new(&task.space, MethodKind::Surrogate, self.request.seed)
            .from([chosen])
            .at_most(self.request.trials);
        let mut watch = Watch::new(self.request.console, "searching", course.trials(), self.stop);
        let outcome = search(task.field(), course, bench, &settings, &mut watch)?;
        let fastest = outcome.fastest().map(|(_, us)| us);
        Ok(outcome.statuses[chosen].time().zip(fastest).map(|(own, fastest)| own / fastest - 1.0))
    }
}

fn verdict(run_off: &RunOff) -> Verdict {
    let RunOff { default, gain, .. } = run_off;
    if -gain.high > (RELATIVE * default.median).max(ABSOLUTE) {
        Verdict::Slower
    } else if gain.low > 0.0 {
        Verdict::Faster
    } else {
        Verdict::Equal
    }
}

fn rows(lines: &[Line]) -> Table {
    let mut rows = table::new(
        &["problem", "choice from", "chosen", "verdict", "remark", "µs", "default µs", "regret"],
        5,
    );
    for line in lines {
        let us = |us: Option<f64>| us.map_or("–".into(), table::microseconds);
        rows.add_row([
            line.workload.clone(),
            line.source.clone(),
            line.chosen.clone(),
            format!("{:?}", line.verdict).to_lowercase(),
            line.remark.clone(),
            us(line.us),
            us(line.default_us),
            line.regret.map_or("–".into(), table::percent),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Estimate;

    #[test]
    fn slower_is_what_loses_more_than_the_bound_whatever_the_noise() {
        let of = |default: f64, low: f64, high: f64| {
            let estimate = |median, low, high| Estimate { median, low, high, samples: 20 };
            let gain = estimate(f64::midpoint(low, high), low, high);
            verdict(&RunOff {
                challenger: estimate(default, default, default),
                default: estimate(default, default, default),
                gain,
            })
        };
        assert_eq!(of(10.0, 0.1, 0.4), Verdict::Faster);
        assert_eq!(of(10.0, -0.1, 0.4), Verdict::Equal);
        assert_eq!(of(10.0, -0.4, -0.14), Verdict::Equal, "within 0.15 µs");
        assert_eq!(of(10.0, -0.4, -0.16), Verdict::Slower);
        assert_eq!(of(100.0, -2.0, -0.9), Verdict::Equal, "within a hundredth");
        assert_eq!(of(100.0, -2.0, -1.1), Verdict::Slower);
    }
}
