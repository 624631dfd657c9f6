//! Candidates that do harm on a GPU, each made to look fastest. Without a GPU the tests count as skipped, and under
//! `DUSTIN_REQUIRE_GPU=1` they fail.

mod common;

use std::{
    fs,
    path::Path,
    process::{ExitCode, Output, Stdio},
    sync::OnceLock,
    time::Instant,
};

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;

use crate::common::{autotune, one_at_a_time, report, require, spelt, trial};

/// Where profiles go.
const PROFILE: &str = "small.toml";

/// A problem of some thousand tokens, and a dozen candidates in the same order each time.
const SMALL: [&str; 12] = [
    "--device=cuda",
    "--model=Qwen2.5-0.5B",
    "--batch=2",
    "--context=4000",
    "--budget-k=256",
    "--trials=12",
    "--method=random",
    "--seed=3",
    "--candidate-timeout=3s",
    "--output=small.toml",
    "--allow-shared",
    "--json",
];

fn main() -> ExitCode {
    const HARMS: [(&str, &str); 4] = [
        ("illegal-access", "ILLEGAL_ADDRESS"),
        ("hang", "gave no answer within"),
        ("out-of-memory", "no room for"),
        ("crash", "the context is lost"),
    ];
    const AS_TIMED: &str = "right alone, but wrong as it is timed";
    let mut trials = vec![trial("without_a_fault_a_candidate_that_looks_fastest_wins".into(), || {
        let (folder, victim) = victim()?;
        let row = row(&tune(folder.path(), &format!("none={victim}"))?)?;
        require(row["chosen"] == victim.as_str(), &row)
    })];
    let mut contains = |harm: &'static str, moment: &'static str, word| {
        let name = format!("{harm}_at_{moment}_is_contained_and_told").replace('-', "_");
        trials.push(trial(name, move || contained(harm, moment, word)));
    };
    for (harm, word) in HARMS {
        for moment in ["check", "time", "finals", "confirm"] {
            contains(harm, moment, word);
        }
    }
    for harm in ["wrong", "nan"] {
        for (moment, word) in [("check", "must be"), ("time", AS_TIMED), ("finals", AS_TIMED)] {
            contains(harm, moment, word);
        }
    }
    for moment in ["time", "finals"] {
        contains("bad-time", moment, "not positive numbers");
    }
    for fault in ["wrong=*", "nan=*", "wrong@time=*"] {
        let name = format!("{fault}_leaves_nothing_to_choose").replace("=*", "_of_all").replace('@', "_at_");
        trials.push(trial(name, move || {
            let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
            let tuned = tune(folder.path(), fault)?;
            let errors = String::from_utf8_lossy(&tuned.stderr).into_owned();
            require(!tuned.status.success() && errors.contains("serves the problem"), &errors.into())?;
            require(!folder.path().join("small.toml").exists(), &"there is a profile".into())
        }));
    }
    trials.push(trial("a_tuner_that_waits_for_another_one_does_not_meet_it_on_the_gpu".into(), waited_for));
    trials.push(trial("the_memory_at_its_peak_is_more_than_the_inputs".into(), peak));
    trials.push(Trial::ignorable_test("two_gpus_share_the_workloads_and_fill_one_profile", || {
        let folder = tempfile::tempdir()?;
        let second = autotune(folder.path())
            .args(["plan", "--device=cuda", "--gpu=1", "--workload=w1-b1"])
            .output()?;
        if second.status.success() {
            return shared(folder.path()).map(|()| Completion::Completed).map_err(Failed::from);
        }
        Ok(Completion::ignored_with(String::from_utf8_lossy(&second.stderr).trim()))
    }));
    libtest_mimic::run(&one_at_a_time(), trials).exit_code()
}

fn contained(harm: &str, moment: &str, word: &str) -> Result<(), String> {
    let ((folder, victim), start) = (victim()?, Instant::now());
    let row = row(&tune(folder.path(), &format!("{harm}@{moment}={victim}"))?)?;
    let rejected = row["rejected"].as_array().ok_or("no list of the rejected")?;
    let told = |one: &Value| {
        one["point"] == victim.as_str() && one["reason"].as_str().is_some_and(|reason| reason.contains(word))
    };
    require(rejected.iter().any(told), &row)?;
    require(row["chosen"] != victim.as_str() && row["tried"] == 12, &row)?;
    require(start.elapsed().as_secs() < 28, &format!("{:?}: it was waited for", start.elapsed()).into())
}

fn shared(folder: &Path) -> Result<(), String> {
    let mut command = autotune(folder);
    command.args(["tune", "--gpus=0,1", "--model=Qwen2.5-0.5B", "--batch=1,2,4,8,16,32", "--context=4000"]);
    command.args(["--budget-k=256", "--trials=12", "--output=small.toml", "--allow-shared", "--json"]);
    let output = command.output().map_err(|error| error.to_string())?;
    let (first, report) = (row(&output)?, report(&output)?);
    let names = report["results"].as_array().ok_or("no results")?.iter().map(|row| &row["workload"]);
    let names: Vec<&Value> = names.collect();
    require(names == ["own-b1", "own-b2", "own-b4", "own-b8", "own-b16", "own-b32"], &first)?;
    let text = fs::read_to_string(folder.join("small.toml")).map_err(|error| error.to_string())?;
    require(text.matches("[[entry]]").count() == 6, &text.into())?;
    let files = fs::read_dir(folder).map_err(|error| error.to_string())?.flatten();
    let chosen = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "journal"));
    let chosen: Vec<usize> = chosen
        .map(|file| fs::read_to_string(file.path()).unwrap_or_default().matches("\"chosen\"").count())
        .collect();
    let all: usize = chosen.iter().sum();
    require(
        chosen.len() == 2 && all == 6 && !chosen.contains(&0),
        &format!("{chosen:?} of each journal").into(),
    )
}

/// Two tuners at a time, of which one waits: neither counts the other among those that compute on the GPU.
fn waited_for() -> Result<(), String> {
    let folders = [tempfile::tempdir(), tempfile::tempdir()];
    let mut tuners = Vec::new();
    for folder in &folders {
        let folder = folder.as_ref().map_err(ToString::to_string)?;
        let mut command = autotune(folder.path());
        command.arg("tune").args(SMALL).arg("--wait").stdout(Stdio::piped()).stderr(Stdio::piped());
        tuners.push(command.spawn().map_err(|error| error.to_string())?);
    }
    let finished =
        tuners.into_iter().map(|tuner| tuner.wait_with_output().map_err(|error| error.to_string()));
    let finished = finished.collect::<Result<Vec<Output>, _>>()?;
    let met = |output: &Output| {
        let row = row(output)?;
        let warned = String::from_utf8_lossy(&output.stderr).contains("computes for process");
        Ok::<_, String>((warned, row["discarded_rounds"].to_string().contains("process")))
    };
    // On a GPU that computes for others, too, both see these.
    let (first, second) = (met(&finished[0])?, met(&finished[1])?);
    require(first == second, &format!("{first:?} {second:?}").into())
}

fn peak() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut command = autotune(folder.path());
    command.args([
        "tune",
        "--device=cuda",
        "--workload=w1-b1",
        "--trials=3",
        "--output=w1.toml",
        "--allow-shared",
    ]);
    let row = row(&command.arg("--json").output().map_err(|error| error.to_string())?)?;
    let peak = row["peak_memory_bytes"].as_u64().unwrap_or(0);
    // Keys and values of 8 heads of 128, in two bytes.
    require(peak > 32_768 * 8 * 128 * 2 * 2, &row)
}

/// A folder with the profile of a search without a fault, and a candidate that it timed early and that is not the default.
fn victim() -> Result<(tempfile::TempDir, String), String> {
    static FOUND: OnceLock<Result<(String, String), String>> = OnceLock::new();
    let (profile, victim) = FOUND.get_or_init(find_victim).clone()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    fs::write(folder.path().join(PROFILE), profile).map_err(|error| error.to_string())?;
    Ok((folder, victim))
}

/// That profile's text, and the candidate.
fn find_victim() -> Result<(String, String), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let row = row(&tune(folder.path(), "none=nobody")?)?;
    let journal = fs::read_dir(folder.path())
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .ok_or("no journal")?;
    let text = fs::read_to_string(&journal).map_err(|error| error.to_string())?;
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let timed =
        records.filter(|record| record["record"] == "timed").map(|record| spelt(&record["candidate"]));
    let victim =
        timed.into_iter().find(|point| row["default"] != point.as_str()).ok_or("nobody else was timed")?;
    let profile = fs::read_to_string(folder.path().join(PROFILE)).map_err(|error| error.to_string())?;
    Ok((profile, victim))
}

fn tune(folder: &Path, fault: &str) -> Result<Output, String> {
    let mut command = autotune(folder);
    command.arg("tune").args(SMALL).env("DUSTIN_AUTOTUNE_FAULT", fault);
    command.output().map_err(|error| error.to_string())
}

/// What a run that must have succeeded says of its one problem.
fn row(output: &Output) -> Result<Value, String> {
    Ok(report(output)?["results"][0].clone())
}
