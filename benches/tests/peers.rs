//! The script that times the peers, as far as a machine without a GPU can tell. Skipped where there is no Python.

use std::{
    collections::HashSet,
    path::PathBuf,
    process::{Command, ExitCode, Output},
};

use dustin::attention::problem::{Confirmed, Mask};
use dustin_autotune::workload::{self, Problem, Workload};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

fn main() -> ExitCode {
    let trials = [
        trial("every_default_workload_of_gpus_but_trees_has_peers_of_its_shape", every_workload_has_peers),
        trial("only_takes_the_figures_that_contain_the_text", only),
        trial("what_cannot_be_is_refused_in_one_sentence", refused),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn trial(name: &str, test: fn() -> Result<(), String>) -> Trial {
    Trial::ignorable_test(name, move || {
        if Command::new("python3").arg("--version").output().is_err() {
            return Ok(Completion::ignored_with("there is no python3"));
        }
        test().map(|()| Completion::Completed).map_err(Failed::from)
    })
}

fn peers(arguments: &[&str]) -> Result<Output, String> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers");
    // Not `-B`: the variable reaches the processes that the script starts.
    let mut command = Command::new("python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).args(arguments);
    command.output().map_err(|error| error.to_string())
}

/// The figures that `--list` prints.
fn listed(arguments: &[&str]) -> Result<Vec<Value>, String> {
    let output = peers(&[&["--list"], arguments].concat())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))).collect()
}

fn every_workload_has_peers() -> Result<(), String> {
    let figures = listed(&[])?;
    let workloads = workload::defaults(true).map_err(|error| error.to_string())?;
    for Workload { name, problem, .. } in &workloads {
        let tree = matches!(problem, Problem::Attention(attention) if attention.mask == Mask::Tree);
        let full =
            matches!(problem, Problem::Attention(attention) if attention.confirmed == Confirmed::Everything);
        let own = || figures.iter().filter(|figure| figure["workload"] == **name);
        if (own().count() == 0) != tree {
            return Err(format!("{name} has {} peers, and a tree's have none", own().count()));
        }
        if let Some(figure) = own().find(|figure| (figure["operation"] == "full attention") != full) {
            return Err(format!("{figure} is not of the workload's operation"));
        }
    }
    let mut seen = HashSet::new();
    for figure in &figures {
        let workload = workloads.iter().find(|workload| figure["workload"] == *workload.name);
        let workload = workload.ok_or_else(|| format!("{figure} is of no default workload"))?;
        if figure["shape"] != *workload.describe() {
            return Err(format!("{figure} must have the shape {}", workload.describe()));
        }
        if !seen.insert(figure.to_string()) {
            return Err(format!("{figure} is listed twice"));
        }
    }
    Ok(())
}

fn only() -> Result<(), String> {
    let all = listed(&[])?.len();
    let scoring = listed(&["--only", "Scoring"])?;
    if scoring.is_empty() || !scoring.iter().all(|figure| figure["operation"] == "scoring") {
        return Err(format!("{scoring:?}"));
    }
    let more = listed(&["--only", "scoring", "--only", "topk"])?.len();
    if !(scoring.len() < more && more < all) {
        return Err(format!("{} figures of scoring, {more} with topk, {all} in all", scoring.len()));
    }
    Ok(())
}

fn refused() -> Result<(), String> {
    let output = peers(&["--list", "--only", "nothing of the kind"])?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let sentence = "peers: no figure contains 'nothing of the kind'; --list prints them";
    if output.status.success() || text.trim_end() != sentence {
        return Err(text);
    }
    Ok(())
}
