//! The command line as typed. What it amounts to is decided in `resolve`.

mod files;
mod groups;
mod heads;

use std::{ops::RangeBounds, path::PathBuf};

use clap::{Args, Parser, Subcommand, builder::RangedI64ValueParser, value_parser};

pub(crate) use self::{
    files::{CompletionsArgs, DiffArgs, ManArgs, MergeArgs, ReportArgs, ShowArgs},
    groups::{ConsoleArgs, DeviceArgs, DeviceKind, DtypeArg, Gpus, LayoutArg, ShapeArgs, WorkloadArgs},
    heads::{BudgetArgs, HeadsArgs, StartArg},
};
use crate::search::MethodKind;

const EXAMPLES: &str = "\
Examples:
  autotune plan                                  what would run, where the result goes, how long it takes
  autotune tune                                  tune the device at hand for the built-in workloads
  autotune tune --quick                          the same within a minute
  autotune tune --workload w1 --budget 30s       one workload, half a minute
  autotune tune --resume                         go on where the last run was cut off
  autotune tune --model Llama-3.1-8B --batch 8 --context 65536 --gamma 5 --budget-k 1024
  autotune tune --model Qwen2.5-7B --batch 1,4,16 --batch-invariant
  autotune show profiles/nvidia-h200.toml        a profile as tables
  autotune verify profiles/nvidia-h200.toml      is it still right, and still as fast, here?
  autotune audit profiles/nvidia-h200.toml       what does it do for problems that it was not tuned for?
  autotune heads calibration/ --share 0.95       which heads should score, on this GPU
  autotune heads --target-ranking head_idx.json --target-name Llama-3.1-8B --layers 13    heads of a ranking, unjudged
  autotune explain --workload w1 -p profiles/nvidia-h200.toml    what serves it, and why
  autotune gpus                                  which GPUs are here, and which of them have a profile
  autotune diff old.toml new.toml                what differs: choices, times, provenance
  autotune merge a.toml b.toml -o both.toml      two profiles of one device as one
  autotune report profiles/nvidia-h200.toml      a page with plots: profiles/nvidia-h200.html
  autotune replay space.csv.gz                   how well does the search do on a recorded space?
  autotune completions bash > autotune.bash      what a shell needs to complete this command

Exit codes:
  0    done
  1    it failed; one sentence on standard error says why and what to do
  2    the command line is not understood, or asks for something impossible
  3    verify found an entry that is stale, wrong, slower, unreadable or too large to check; audit found a choice that is
       slower than the default, wrong or unchecked; diff found a difference
  130  interrupted; what was found until then is kept";

/// Tunes Dustin's kernels for the device at hand and keeps what it finds in a profile.
#[derive(Debug, Parser)]
#[command(name = "autotune", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print what `tune` would run, where the result would go and about how long it would take.
    Plan(TuneArgs),
    /// Search the fastest correct kernel for each workload and write the profile.
    Tune(TuneArgs),
    /// Print a profile as tables.
    Show(ShowArgs),
    /// Check a profile on the device at hand: that each choice is valid and correct, and its time still holds.
    Verify(VerifyArgs),
    /// Time what a profile chooses for problems that it was not tuned for, against the default.
    Audit(AuditArgs),
    /// Search the heads and budgets that keep enough of the attention at the least estimation time on this device.
    Heads(Box<HeadsArgs>),
    /// Say which entry serves a workload and why, what else could run, and what could not.
    Explain(ExplainArgs),
    /// Print how two profiles differ: buckets, choices, times beyond the tie band, provenance.
    Diff(DiffArgs),
    /// Join profiles of one device into one, or lay those of several devices side by side in a folder.
    Merge(MergeArgs),
    /// Print what is known of each GPU of this machine, and whether there is a profile for it.
    Gpus(GpusArgs),
    /// Write a profile, and what searches measured, as one HTML page with plots.
    Report(ReportArgs),
    /// Run the search on recorded spaces, without a device, and print how near it comes to their optimum.
    Replay(ReplayArgs),
    /// Print what a shell needs to complete this command.
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command into a folder.
    Man(ManArgs),
    /// Hold a device for another process of this program, which asks on standard input.
    #[command(hide = true)]
    Worker,
}

#[derive(Debug, Args)]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) workloads: WorkloadArgs,
    /// Time for all workloads together, such as 90s or 5m [default: until every candidate had its turn].
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    pub(crate) budget: Option<std::time::Duration>,
    /// The most candidates to try of a workload, chosen by `--method` [default: all].
    #[arg(long, value_name = "N", value_parser = range(1..))]
    pub(crate) trials: Option<u32>,
    /// As good as a minute allows: 48 candidates of each workload and 55 s for all of them, unless said otherwise.
    #[arg(long)]
    pub(crate) quick: bool,
    /// How the candidates to try are chosen [default: surrogate with --trials or --quick, else random: all are tried].
    #[arg(long, value_enum)]
    pub(crate) method: Option<MethodKind>,
    /// Then choose one schedule for all batches of the workloads that differ in nothing else, so that a sequence's bits
    /// do not depend on its batch, and tell what it costs.
    #[arg(long)]
    pub(crate) batch_invariant: bool,
    /// Share the workloads over several GPUs of one model: `all`, or numbers such as 0,1.
    #[arg(long, value_name = "LIST", value_parser = gpus, conflicts_with = "gpu")]
    pub(crate) gpus: Option<Gpus>,
    /// Go on where the last run that wrote this profile was cut off: what it measured is not measured again.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Seed of the order in which candidates are tried, and of the inputs.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Profile to write; entries for other problems in it are kept [default: profiles/DEVICE.toml].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) workloads: WorkloadArgs,
    /// Profile to ask; with several the first is asked first. The device is then the one that the first is of, which need
    /// not be here, unless `--device` says otherwise [default: the profile of the device at hand].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) profile: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GpusArgs {
    /// Where profiles are looked for.
    #[arg(long, default_value = "profiles", value_name = "FOLDER")]
    pub(crate) profiles: PathBuf,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The profile [default: the one of the device at hand].
    #[arg(value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// An entry counts as slower when its median exceeds the recorded one by more than this percentage.
    #[arg(long, default_value_t = 15.0, value_name = "PERCENT", value_parser = percentage, allow_hyphen_values = true)]
    pub(crate) tolerance: f64,
    /// Seed of the inputs.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The profile [default: the one of the device at hand].
    #[arg(value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// How many problems are drawn, each of another bucket or, with `--members`, of other sizes.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = range(1..=10_000))]
    pub(crate) problems: u32,
    /// Draw problems that lie in the buckets that the profile holds, at other sizes than those that were tuned.
    #[arg(long)]
    pub(crate) members: bool,
    /// Search each problem, too, with so many candidates, and tell what the choice loses to the fastest found.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = range(0..))]
    pub(crate) trials: u32,
    /// End with exit code 3 if a choice takes so many percent longer than the fastest found; needs `--trials`.
    #[arg(long, value_name = "PERCENT", value_parser = range(1..=10_000), requires = "trials")]
    pub(crate) most_regret: Option<u32>,
    /// Seed of the problems, and of their inputs.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recorded spaces: CSV, or journals of tuning runs; also compressed with gzip.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Trials after which the choice is scored.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [25, 50, 100, 200, 400], value_parser = range(1..=100_000))]
    pub(crate) trials: Vec<u32>,
    /// Searches of each space.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = range(1..=100_000))]
    pub(crate) repetitions: u32,
    /// Seed of the first search.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// How the points to try are chosen.
    #[arg(long, value_enum, default_value_t = MethodKind::Surrogate)]
    pub(crate) method: MethodKind,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Values in `range` alone: what the library would say of others names its own fields, not the options.
fn range(range: impl RangeBounds<i64>) -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(range)
}

fn time(text: &str) -> Result<std::time::Duration, String> {
    let wanted = "a positive time such as 90s or 5m";
    let span: jiff::SignedDuration = text.parse().map_err(|_| format!("expected {wanted}"))?;
    match std::time::Duration::try_from(span) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(format!("expected {wanted}")),
    }
}

fn gpus(text: &str) -> Result<Gpus, String> {
    if text == "all" {
        return Ok(Gpus::All);
    }
    let numbers = text.split(',').map(|number| number.trim().parse::<u32>()).collect::<Result<Vec<_>, _>>();
    let mut numbers = numbers.map_err(|_| "expected `all`, or numbers such as 0,1")?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Gpus::These(numbers))
}

fn percentage(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("expected a percentage such as 15".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_budget_is_a_positive_time() {
        assert_eq!(time("90s"), Ok(std::time::Duration::from_secs(90)));
        assert_eq!(time("1m 30s"), Ok(std::time::Duration::from_secs(90)));
        for bad in ["", "90", "-5s", "0s", "soon"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn several_gpus_are_all_or_numbers_each_once() {
        assert_eq!(gpus("all"), Ok(Gpus::All));
        assert_eq!(gpus("1, 0,1"), Ok(Gpus::These(vec![0, 1])));
        for bad in ["", "0,", "-1", "both"] {
            assert!(gpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_shape_without_a_model_is_refused() {
        let error = Cli::try_parse_from(["autotune", "tune", "--batch", "4"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--model"), "{error}");
    }
}
