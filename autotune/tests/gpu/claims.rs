//! What the documents claim of tuning on a GPU, each claim with its figures on standard error. They take ten minutes together, and time
//! things: run them on a GPU that nobody else uses. Without a GPU they count as skipped, and under `DUSTIN_REQUIRE_GPU=1` they fail.

mod common;
mod groups;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{autotune, one_at_a_time, report, require, spelt, trial};

/// The file that every run here writes, in a folder of its own.
const PROFILE: &str = "tuned.toml";

/// Two problems of each kernel.
const SIX: [&str; 6] = ["w1", "w1-b8-16k", "w1-score-1kv", "w1-score-draft", "w1-select", "w1-select-128k"];

/// Fresh processes that are to agree.
const PROCESSES: usize = 8;

/// Finished tuning of all workloads.
struct Tuned {
    folder: TempDir,
    report: Value,
    took: Duration,
}

fn main() -> ExitCode {
    let trials = vec![
        trial("all_workloads_are_tuned_within_six_minutes".into(), || {
            let Tuned { report, took, .. } = whole()?;
            let (rows, tried) = sums(report);
            let peak = rows.iter().filter_map(|row| row["peak_memory_bytes"].as_u64()).max();
            eprintln!("{} workloads, {tried} candidates, {took:.1?}, {peak:?} bytes at the peak", rows.len());
            require(peak.is_some() && *took <= Duration::from_secs(360), &format!("{took:?}").into())
        }),
        trial("quick_tuning_of_all_workloads_takes_a_minute".into(), || {
            let Tuned { report, took, .. } = tune(&["--quick"])?;
            let (rows, tried) = sums(&report);
            eprintln!("{} workloads, {tried} candidates, {took:.1?}", rows.len());
            require(took <= Duration::from_secs(60), &format!("{took:?}").into())
        }),
        trial("fresh_quick_processes_choose_alike".into(), alike),
        trial("a_quick_choice_loses_at_most_a_hundredth_to_all_candidates".into(), regret),
        trial("no_choice_is_slower_than_the_default_for_problems_not_tuned_for".into(), || {
            audit(&["--problems=120"]).map(drop)
        }),
        trial("a_bucket_s_choice_loses_at_most_an_eighth_for_its_members".into(), || {
            let report = audit(&["--members", "--problems=60", "--trials=40", "--most-regret=12"])?;
            require(report["searched"].as_u64() >= Some(40), &report["searched"])
        }),
        trial(
            "heads_of_one_group_replace_the_rankings_at_less_than_half_of_their_measured_time".into(),
            || {
                let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
                groups::write(folder.path()).map_err(|error| error.to_string())?;
                let mut command = autotune(folder.path());
                command.args(groups::FRONT).arg("--device=cuda");
                let report = report(&command.output().map_err(|error| error.to_string())?)?;
                let (halves, figures) = groups::halves(&report);
                eprintln!("{figures}");
                require(halves, &figures.into())
            },
        ),
    ];
    libtest_mimic::run(&one_at_a_time(), trials).exit_code()
}

/// All workloads, tuned once for all claims.
fn whole() -> Result<&'static Tuned, String> {
    static WHOLE: OnceLock<Result<Tuned, String>> = OnceLock::new();
    WHOLE.get_or_init(|| tune(&[])).as_ref().map_err(Clone::clone)
}

/// Tunes with nothing compiled beforehand.
fn tune(arguments: &[&str]) -> Result<Tuned, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut command = autotune(folder.path());
    command.args(["tune", "--device=cuda", "--json", "--output", PROFILE]).args(arguments);
    let start = Instant::now();
    let output = command.env("CUDA_CACHE_DISABLE", "1").output().map_err(|error| error.to_string())?;
    let took = start.elapsed();
    Ok(Tuned { report: report(&output)?, folder, took })
}

/// The rows of a report, and the candidates of all of them.
fn sums(report: &Value) -> (&[Value], u64) {
    let rows = report["results"].as_array().map_or(&[][..], Vec::as_slice);
    (rows, rows.iter().filter_map(|row| row["tried"].as_u64()).sum())
}

/// Of each of six problems: choices within the tie band of the best of all processes, four in five of them the same.
fn alike() -> Result<(), String> {
    let workloads: Vec<String> = SIX.iter().map(|name| format!("--workload={name}")).collect();
    let arguments: Vec<&str> = ["--quick"].into_iter().chain(workloads.iter().map(String::as_str)).collect();
    let mut chosen: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for _ in 0..PROCESSES {
        for row in sums(&tune(&arguments)?.report).0 {
            let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
            let time = row["us"].as_f64().ok_or("a row without a time")?;
            chosen.entry(text("workload")).or_default().push((text("chosen"), time));
        }
    }
    require(chosen.len() == SIX.len(), &format!("{chosen:?}").into())?;
    let mut same = 0;
    for (workload, choices) in &chosen {
        let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        choices.iter().for_each(|(choice, time)| times.entry(choice).or_default().push(*time));
        same += times.values().map(Vec::len).max().unwrap_or(0);
        let medians: BTreeMap<&str, f64> =
            times.into_iter().map(|(choice, times)| (choice, median(times))).collect();
        eprintln!("{workload}: {medians:?}");
        let best = medians.values().copied().fold(f64::INFINITY, f64::min);
        let band = (best * 0.02).max(0.15);
        require(
            medians.values().all(|time| time - best <= band),
            &format!("{workload}: {medians:?}").into(),
        )?;
    }
    eprintln!("{same} of {} choices are the most frequent one of their problem", SIX.len() * PROCESSES);
    require(same * 5 >= SIX.len() * PROCESSES * 4, &same.into())
}

/// The quick choice for W1, by its times in a search of all candidates.
fn regret() -> Result<(), String> {
    let workload = "--workload=w1";
    let (quick, all) = (tune(&["--quick", workload])?, tune(&[workload])?);
    let choice = quick.report["results"][0]["chosen"].as_str().ok_or("nothing was chosen")?.to_owned();
    let times = finals(all.folder.path())?;
    let own = *times.get(&choice).ok_or_else(|| format!("{choice} was not timed among all"))?;
    let (best, least) = times.iter().min_by(|a, b| a.1.total_cmp(b.1)).ok_or("nobody was timed among all")?;
    let regret = own / least - 1.0;
    eprintln!("{choice}: {own:.3} µs; best of {}: {best}, {least:.3} µs; regret {regret:.4}", times.len());
    require(regret <= 0.01, &regret.into())
}

/// The median of each candidate's times in the journal, of those that were timed more often than others.
fn finals(folder: &Path) -> Result<BTreeMap<String, f64>, String> {
    let text = fs::read_to_string(journal(folder)?).map_err(|error| error.to_string())?;
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for record in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if record["record"] == "timed" {
            let us = record["us"].as_array().into_iter().flatten().filter_map(Value::as_f64);
            times.entry(spelt(&record["candidate"])).or_default().extend(us);
        }
    }
    // Whoever is slow has been timed a few times: what drew its luck there is not the best.
    let most = times.values().map(Vec::len).max().unwrap_or(0);
    times.retain(|_, times| times.len() * 2 >= most);
    Ok(times.into_iter().map(|(choice, times)| (choice, median(times))).collect())
}

fn journal(folder: &Path) -> Result<PathBuf, String> {
    let files = fs::read_dir(folder).map_err(|error| error.to_string())?.flatten();
    let mut files = files.map(|file| file.path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .ok_or("no journal".into())
}

fn audit(arguments: &[&str]) -> Result<Value, String> {
    let profile = whole()?.folder.path().join(PROFILE);
    let mut command = autotune(whole()?.folder.path());
    command.arg("audit").arg(profile).args(["--device=cuda", "--json"]).args(arguments);
    let output = command.output().map_err(|error| error.to_string())?;
    let mut report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let problems = report.as_object_mut().and_then(|report| report.remove("problems"));
    let problems = problems.and_then(|problems| problems.as_array().cloned()).unwrap_or_default();
    eprintln!("{} problems: {report}", problems.len());
    let bad = |problem: &&Value| {
        !["default", "faster", "equal"].contains(&problem["verdict"].as_str().unwrap_or_default())
            || problem["regret"].as_f64() > Some(0.12)
    };
    let bad: Vec<&Value> = problems.iter().filter(bad).collect();
    require(output.status.success() && bad.is_empty() && !problems.is_empty(), &format!("{bad:?}").into())?;
    Ok(report)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let half = times.len() / 2;
    if times.len().is_multiple_of(2) { f64::midpoint(times[half - 1], times[half]) } else { times[half] }
}
