//! Runs that are cut off, and go on.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::common::{Finished, TINY, autotune, json, run};
use dustin::profile;
use serde_json::Value;

fn tune(folder: &Path, more: &[&str]) -> Finished {
    run(folder, &[&["tune"], &TINY[..], &["--json"], more].concat())
}

fn journal(folder: &Path) -> PathBuf {
    folder.join("tiny.cpu.journal")
}

/// The journal's records.
fn records(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(journal(folder)).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn count(records: &[Value], kind: &str) -> usize {
    records.iter().filter(|record| record["record"] == kind).count()
}

#[test]
fn a_finished_run_that_is_resumed_measures_nothing_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let first = tune(folder.path(), &["--batch=1,2"]);
    let before = records(folder.path());
    assert!(count(&before, "checked") > 100 && count(&before, "chosen") == 2, "{first:?}");
    let again = tune(folder.path(), &["--batch=1,2", "--resume"]);
    assert_eq!((again.code, json(&again)), (Some(0), json(&first)));
    let after = records(folder.path());
    for kind in ["problem", "started", "checked", "timed", "failed"] {
        assert_eq!(count(&after, kind), count(&before, kind), "{kind}");
    }
    // Another seed means other inputs: nothing of it is known.
    let other = tune(folder.path(), &["--batch=1", "--resume", "--seed=2", "--trials=3"]);
    assert_eq!(count(&records(folder.path()), "problem"), 3, "{other:?}");
}

#[test]
fn the_journal_of_a_run_is_a_recorded_space_for_each_problem() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(tune(folder.path(), &["--batch=1,2"]).code, Some(0));
    let replay = ["replay", "tiny.cpu.journal", "--repetitions=5", "--trials=20", "--json"];
    let replayed = json(&run(folder.path(), &replay));
    let spaces = replayed["spaces"].as_object().unwrap();
    assert!(
        spaces.keys().all(|name| name.contains("14/2x64 bf16, batch ")) && spaces.len() == 2,
        "{spaces:?}"
    );
    let mean = replayed["trials"]["20"]["mean"].as_f64().unwrap();
    assert!(mean > 0.3 && mean <= 1.0, "{replayed}");
    // What is cut off is passed over, and a journal without a time is of no use.
    let text = fs::read_to_string(journal(folder.path())).unwrap();
    fs::write(journal(folder.path()), &text[..text.len() / 3]).unwrap();
    assert_eq!(json(&run(folder.path(), &replay))["spaces"].as_object().unwrap().len(), 1);
    fs::write(journal(folder.path()), text.lines().next().unwrap()).unwrap();
    run(folder.path(), &replay).refuses(1, &["tiny.cpu.journal", "nothing was timed"]);
}

#[test]
fn without_a_run_to_resume_a_run_begins_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = tune(folder.path(), &["--batch=1", "--trials=3", "--resume"]);
    assert_eq!(tuned.code, Some(0), "{tuned:?}");
    assert!(tuned.stderr.contains("nothing to resume"), "{tuned:?}");
}

/// A small generator, so that the same moments are tried whenever the test runs.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((self.0 >> 33) % below)
    }
}

fn start(folder: &Path, resume: bool) -> Child {
    let mut command = autotune(folder);
    command.arg("tune").args(TINY).args(["--batch=1,2", "--trials=40", "--quiet"]);
    if resume {
        command.arg("--resume");
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_at_any_moment_a_run_goes_on_and_measures_at_most_one_candidate_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    let mut moments = Moments(7);
    let (mut kills, mut finished, begin) = (0, 0, Instant::now());
    while kills < 200 {
        // A chain of runs, each of which is killed, until one gets through.
        let _ = fs::remove_file(journal(folder.path()));
        let mut resume = false;
        loop {
            let mut child = start(folder.path(), resume);
            let moment = moments.next(if kills % 2 == 0 { 60_000 } else { 200_000 });
            std::thread::sleep(moment);
            let ended = child.try_wait().unwrap();
            child.kill().unwrap();
            let status = child.wait().unwrap();
            if path.exists() {
                let read = profile::read(&path).unwrap();
                assert!(read.warnings.is_empty(), "kill {kills}: {:?}", read.warnings);
            }
            resume = true;
            if ended.is_some() {
                assert_eq!(status.code(), Some(0), "kill {kills}");
                finished += 1;
                break;
            }
            kills += 1;
            if kills % 40 == 0 {
                let left = tune(folder.path(), &["--batch=1,2", "--trials=40", "--resume"]);
                assert_eq!(left.code, Some(0), "kill {kills}: {left:?}");
                break;
            }
        }
        assert_each_kill_cost_one_candidate_at_most(&records(folder.path()));
    }
    assert!(finished > 0, "no run ever got through");
    eprintln!("{kills} kills in {:.1?}", begin.elapsed());
}

/// Of a chain's records: whoever began again after a kill was the one that the kill met, and whatever stands in the journal, a
/// check, a time or a confirmation, was not measured again.
#[track_caller]
fn assert_each_kill_cost_one_candidate_at_most(records: &[Value]) {
    let runs: Vec<usize> = (0..records.len()).filter(|&index| records[index]["record"] == "run").collect();
    let key = |record: &Value| format!("{}{}", record["problem"], record["candidate"]);
    let of = |kind: &'static str| move |record: &&Value| record["record"] == kind;
    for (first, &run) in runs.iter().enumerate() {
        let end = runs.get(first + 1).copied().unwrap_or(records.len());
        let before: Vec<String> = records[..run].iter().filter(of("started")).map(key).collect();
        let again =
            records[run..end].iter().filter(of("started")).filter(|record| before.contains(&key(record)));
        assert!(again.count() <= 1, "of {} runs the one at {run}", runs.len());
    }
    for kind in ["checked", "confirmed"] {
        let mut once: Vec<String> = records.iter().filter(of(kind)).map(key).collect();
        let all = once.len();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all, "somebody was {kind} twice");
    }
    let mut timed: BTreeMap<u64, Vec<(String, usize)>> = BTreeMap::new();
    for record in records.iter().filter(of("timed")) {
        let of_problem = timed.entry(record["problem"].as_u64().unwrap()).or_default();
        of_problem.push((record["candidate"].to_string(), record["us"].as_array().unwrap().len()));
    }
    for (problem, series) in timed {
        assert!(is_one_search(&series), "problem {problem} was timed so: {series:?}");
    }
}

/// Whether candidates were timed, each with so many repetitions, as one search does it, so that nothing stands there twice:
/// screening, one repetition and two; finals, three in each of the rounds, from which candidates leave and to which none comes;
/// a run-off in pairs, one and one, that begin in turns with either.
fn is_one_search(series: &[(String, usize)]) -> bool {
    let finals = series.iter().position(|(_, size)| *size == 3).unwrap_or(series.len());
    let end = series.iter().rposition(|(_, size)| *size == 3).map_or(finals, |last| last + 1);
    let distinct = |part: &[(String, usize)]| part.iter().collect::<HashSet<_>>().len() == part.len();
    let names = |part: &[(String, usize)]| part.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let mut rounds: Vec<Vec<String>> = vec![Vec::new()];
    for name in names(&series[finals..end]) {
        if rounds.last().is_some_and(|round| round.contains(&name)) {
            rounds.push(Vec::new());
        }
        rounds.last_mut().unwrap().push(name);
    }
    let nested = |pair: &[Vec<String>]| pair[1].iter().all(|name| pair[0].contains(name));
    let pairs = names(&series[end..]);
    distinct(&series[..finals])
        && rounds.len() <= 12
        && rounds.windows(2).all(nested)
        // Nobody runs a round alone.
        && (pairs.is_empty() || rounds.last().is_some_and(|round| round.len() > 1))
        && pairs.len() <= 42
        && pairs.chunks_exact(2).all(|pair| pair[0] != pair[1])
        && pairs.get(1..).unwrap_or_default().chunks_exact(2).all(|turn| turn[0] == turn[1])
}

#[test]
fn times_that_were_taken_twice_are_not_those_of_one_search() {
    let screening = [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1), ("d", 1), ("d", 2)];
    let finals = ["a", "b", "d", "b", "d", "a", "a", "d", "d", "a"].map(|name| (name, 3));
    let pairs = ["d", "a", "a", "d", "d", "a"].map(|name| (name, 1));
    let whole = screening.iter().chain(&finals).chain(&pairs);
    let whole: Vec<(String, usize)> = whole.map(|&(name, size)| (name.to_owned(), size)).collect();
    for end in 0..=whole.len() {
        assert!(is_one_search(&whole[..end]), "{end}");
    }
    for again in 0..whole.len() - 1 {
        let mut series = whole.clone();
        series.insert(again, series[again].clone());
        assert!(!is_one_search(&series), "{:?} twice", whole[again]);
    }
}

#[test]
fn a_device_that_is_lost_does_not_hide_what_was_found_before() {
    let folder = tempfile::tempdir().unwrap();
    let first = tune(folder.path(), &["--batch=1", "--trials=5"]);
    let mut command = autotune(folder.path());
    command.arg("tune").args(TINY).args(["--json", "--batch=1,2", "--trials=5", "--resume"]);
    // What is on record needs no device.
    let lost = Finished::of(command.env("DUSTIN_AUTOTUNE_FAULT", "crash=*").output().unwrap());
    assert_eq!(lost.code, Some(1), "{lost:?}");
    assert!(lost.stderr.contains("error: workload own-b2: the device no longer answers"), "{lost:?}");
    let rows = json(&lost)["results"].clone();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["us"]), (1, &json(&first)["results"][0]["us"]));
    assert_eq!(profile::read(&folder.path().join("tiny.toml")).unwrap().profile.entries.len(), 1);
}
