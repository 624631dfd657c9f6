//! `replay`: how near the search comes to the optimum of recorded spaces.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::{
    args::ReplayArgs,
    console::Console,
    outcome::Exit,
    replay::{Measuring, Recording, Series, Summary},
    search::MethodKind,
    table,
};

/// Launches of every point where repetition is uniform: what racing is compared with.
const UNIFORM: usize = 10;

#[derive(Serialize)]
struct Report<'a> {
    method: &'a str,
    repetitions: u32,
    seed: u64,
    /// The method itself.
    #[serde(flatten)]
    own: Summary,
    /// Random search, measured in the same way.
    random: Summary,
    /// The same method with every point launched ten times.
    uniform: Summary,
    /// Launches with which the method reaches what uniform repetition does, as a share of that one's launches.
    launches_against_uniform: BTreeMap<usize, Option<f64>>,
}

/// Runs the search on recorded spaces and prints the fraction of the optimum against trials, launches and simulated
/// time.
pub(crate) fn replay(args: &ReplayArgs) -> anyhow::Result<Exit> {
    let console = Console::from(&args.console);
    let mut recordings = Vec::with_capacity(args.files.len());
    let mut names = HashSet::new();
    for path in &args.files {
        let found = Recording::read(path)?;
        let several = found.len() > 1;
        for mut recording in found {
            // One file, several problems; one problem in several files; one file named twice.
            let name = recording.name.clone();
            let file = path.display();
            let longer = if several { format!("{file}: {name}") } else { file.to_string() };
            let more = (2..).map(|number| format!("{longer} ({number})"));
            let unused =
                [name, longer.clone()].into_iter().chain(more).find(|name| names.insert(name.clone()));
            recording.name = unused.unwrap_or(longer);
            recordings.push(recording);
        }
    }
    let mut trials: Vec<usize> = args.trials.iter().map(|&trials| trials as usize).collect();
    trials.sort_unstable();
    trials.dedup();

    let runs = recordings.len() * args.repetitions as usize;
    let run = |title: &str, method, measuring| {
        let (trials, repetitions, seed) = (trials.clone(), args.repetitions, args.seed);
        let bar = console.bar(runs, title);
        let summary =
            Series { method, measuring, trials, repetitions, seed }.run(&recordings, &|| bar.inc(1));
        bar.finish_and_clear();
        summary
    };
    let own = run(args.method.name(), args.method, Measuring::Racing);
    let random = run("random search", MethodKind::Random, Measuring::Racing);
    let uniform = run("uniform", args.method, Measuring::Uniform(UNIFORM));
    let share = |trials: &usize| {
        let launches = own.launches_to_reach(uniform.trials[trials].mean);
        launches.map(|launches| launches / uniform.launches[trials])
    };
    let report = Report {
        method: args.method.name(),
        repetitions: args.repetitions,
        seed: args.seed,
        launches_against_uniform: trials.iter().map(|trials| (*trials, share(trials))).collect(),
        own,
        random,
        uniform,
    };
    console.print(&curve(&report).to_string())?;
    console.print(&spaces(&report.own, &trials).to_string())?;
    console.print_json(&report)?;
    Ok(Exit::Done)
}

/// Fraction of the optimum over all spaces, next to random search and to uniform repetition.
fn curve(report: &Report<'_>) -> comfy_table::Table {
    let uniform = format!("uniform x{UNIFORM}");
    let headings = [
        "trials",
        "mean",
        "worst space",
        "launches",
        "simulated s",
        "random",
        "worst space",
        &uniform,
        "launches",
        "for the same",
    ];
    let mut table = table::new(&headings, 0);
    for (trials, score) in &report.own.trials {
        let (random, uniform) = (report.random.trials[trials], report.uniform.trials[trials]);
        table.add_row([
            trials.to_string(),
            fraction(score.mean),
            fraction(score.worst),
            format!("{:.0}", report.own.launches[trials]),
            format!("{:.2}", report.own.simulated_seconds[trials]),
            fraction(random.mean),
            fraction(random.worst),
            fraction(uniform.mean),
            format!("{:.0}", report.uniform.launches[trials]),
            report.launches_against_uniform[trials].map_or("–".into(), table::percent),
        ]);
    }
    table
}

/// Fraction of each space's optimum, by the number of trials.
fn spaces(summary: &Summary, trials: &[usize]) -> comfy_table::Table {
    let numbers: Vec<String> = trials.iter().map(ToString::to_string).collect();
    let headings: Vec<&str> = ["space"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
    let mut table = table::new(&headings, 1);
    for (name, fractions) in &summary.spaces {
        table.add_row([name.clone()].into_iter().chain(fractions.values().map(|&reached| fraction(reached))));
    }
    table
}

fn fraction(value: f64) -> String {
    format!("{value:.3}")
}
