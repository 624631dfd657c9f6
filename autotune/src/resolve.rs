//! What the command line amounts to: names looked up, shapes validated, defaults filled in.

mod heads;

use std::{path::PathBuf, time::Duration};

use dustin::{Dtype, attention::problem::Mask, kv::KvLayout};
use dustin_autotune::workload::{self, AttentionShape, CacheShape, Workload};
use serde::{Deserialize, Serialize};

pub(crate) use self::heads::{Budgets, HeadSearch, HeadsRequest, Import, ModelFiles, Origin};
use crate::{
    args::{
        AuditArgs, DeviceArgs, DeviceKind, DtypeArg, ExplainArgs, Gpus, LayoutArg, ShapeArgs, TuneArgs,
        VerifyArgs, WorkloadArgs,
    },
    console::Console,
    outcome::Usage,
    search::MethodKind,
};

/// The device asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceChoice {
    /// A GPU where there is a driver, else the CPU.
    Auto {
        /// Number of the GPU.
        gpu: u32,
    },
    /// This GPU and nothing else.
    Cuda {
        /// Number of the GPU.
        gpu: u32,
    },
    /// The CPU.
    Cpu,
}

/// The device asked for, and how it is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceRequest {
    /// Where to run.
    pub(crate) choice: DeviceChoice,
    /// The least time that a candidate is given for one answer.
    pub(crate) patience: Duration,
    /// Whether to wait for it while somebody else measures it.
    pub(crate) wait: bool,
    /// Whether it may compute for others at the same time.
    pub(crate) shared: bool,
}

/// What `plan` and `tune` are to do.
#[derive(Debug)]
pub(crate) struct TuneRequest {
    /// Where to run.
    pub(crate) device: DeviceRequest,
    /// What to tune for; the device's defaults if nothing.
    pub(crate) workloads: Option<Vec<Workload>>,
    /// Time for all workloads together.
    pub(crate) budget: Option<Duration>,
    /// The most candidates to try of a workload, if not all.
    pub(crate) trials: Option<u32>,
    /// How they are chosen.
    pub(crate) method: MethodKind,
    /// Whether one schedule for all batches is chosen, too.
    pub(crate) batch_invariant: bool,
    /// The GPUs that share the work, if several are to.
    pub(crate) gpus: Option<Gpus>,
    /// Whether to go on where the last run was cut off.
    pub(crate) resume: bool,
    /// Seed of order and inputs.
    pub(crate) seed: u64,
    /// Where the profile goes, if not to the device's default.
    pub(crate) output: Option<PathBuf>,
    /// How to talk.
    pub(crate) console: Console,
}

/// What `verify` is to do.
#[derive(Debug)]
pub(crate) struct VerifyRequest {
    /// Where to run.
    pub(crate) device: DeviceRequest,
    /// The profile, if not the device's default.
    pub(crate) profile: Option<PathBuf>,
    /// The factor by which a median may exceed the recorded one.
    pub(crate) factor: f64,
    /// Seed of the inputs.
    pub(crate) seed: u64,
    /// How to talk.
    pub(crate) console: Console,
}

/// What `--quick` allows: a minute less what opening a device and ending take.
const QUICK_BUDGET: Duration = Duration::from_secs(55);
const QUICK_TRIALS: u32 = 48;

/// What `audit` is to do.
#[derive(Debug)]
pub(crate) struct AuditRequest {
    /// Where to run.
    pub(crate) device: DeviceRequest,
    /// The profile, if not the device's default.
    pub(crate) profile: Option<PathBuf>,
    /// How many problems are drawn.
    pub(crate) problems: usize,
    /// Whether they are of the profile's own buckets.
    pub(crate) members: bool,
    /// How many candidates are tried for each; 0: the choice and the default alone.
    pub(crate) trials: usize,
    /// The largest regret that passes, as a share.
    pub(crate) most_regret: f64,
    /// Seed of problems and inputs.
    pub(crate) seed: u64,
    /// How to talk.
    pub(crate) console: Console,
}

/// What `explain` is to do.
#[derive(Debug)]
pub(crate) struct ExplainRequest {
    /// Where it would run.
    pub(crate) device: DeviceRequest,
    /// The profiles to ask, if not the device's default.
    pub(crate) profiles: Vec<PathBuf>,
    /// What is to be explained; the device's defaults if nothing.
    pub(crate) workloads: Option<Vec<Workload>>,
    /// How to talk.
    pub(crate) console: Console,
}

impl ExplainRequest {
    /// # Errors
    /// A name that is not known, or a shape that is impossible.
    pub(crate) fn resolve(args: ExplainArgs) -> Result<Self, Usage> {
        Ok(Self {
            device: DeviceRequest::resolve(&args.device),
            profiles: args.profile,
            workloads: workloads(&args.workloads)?,
            console: Console::from(&args.console),
        })
    }
}

impl TuneRequest {
    /// # Errors
    /// A name that is not known, or a shape that is impossible.
    pub(crate) fn resolve(args: TuneArgs) -> Result<Self, Usage> {
        let trials = args.trials.or(args.quick.then_some(QUICK_TRIALS));
        Ok(Self {
            device: DeviceRequest::resolve(&args.device),
            workloads: workloads(&args.workloads)?,
            budget: args.budget.or(args.quick.then_some(QUICK_BUDGET)),
            trials,
            method: args.method.unwrap_or(match trials {
                Some(_) => MethodKind::Surrogate,
                None => MethodKind::Random,
            }),
            batch_invariant: args.batch_invariant,
            gpus: args.gpus,
            resume: args.resume,
            seed: args.seed,
            output: args.output,
            console: Console { quiet: args.console.quiet, json: args.console.json },
        })
    }

    /// How many of `points` are tried.
    pub(crate) fn trials(&self, points: usize) -> usize {
        self.trials.map_or(points, |trials| points.min(trials as usize))
    }
}

impl VerifyRequest {
    pub(crate) fn resolve(args: VerifyArgs) -> Self {
        Self {
            device: DeviceRequest::resolve(&args.device),
            profile: args.profile,
            factor: 1.0 + args.tolerance / 100.0,
            seed: args.seed,
            console: Console { quiet: args.console.quiet, json: args.console.json },
        }
    }
}

impl AuditRequest {
    pub(crate) fn resolve(args: AuditArgs) -> Self {
        Self {
            device: DeviceRequest::resolve(&args.device),
            profile: args.profile,
            problems: args.problems as usize,
            members: args.members,
            trials: args.trials as usize,
            most_regret: args.most_regret.map_or(f64::INFINITY, |percent| f64::from(percent) / 100.0),
            seed: args.seed,
            console: Console { quiet: args.console.quiet, json: args.console.json },
        }
    }
}

impl DeviceRequest {
    fn resolve(args: &DeviceArgs) -> Self {
        let choice = match args.device {
            DeviceKind::Auto => DeviceChoice::Auto { gpu: args.gpu },
            DeviceKind::Cuda => DeviceChoice::Cuda { gpu: args.gpu },
            DeviceKind::Cpu => DeviceChoice::Cpu,
        };
        Self { choice, patience: args.candidate_timeout, wait: args.wait, shared: args.allow_shared }
    }
}

fn workloads(args: &WorkloadArgs) -> Result<Option<Vec<Workload>>, Usage> {
    if let Some(model) = &args.model {
        let model = workload::model(model)?;
        let own = |&batch: &u32| {
            let name = if args.shape.batch.len() == 1 { "own".into() } else { format!("own-b{batch}") };
            Workload::new(name, shape(model, batch, &args.shape))
        };
        return Ok(Some(args.shape.batch.iter().map(own).collect::<Result<_, _>>()?));
    }
    if args.workload.is_empty() {
        return Ok(None);
    }
    let mut found: Vec<Workload> = Vec::new();
    for name in &args.workload {
        let workload = workload::named(name)?;
        if !found.contains(&workload) {
            found.push(workload);
        }
    }
    Ok(Some(found))
}

fn shape(model: &'static str, batch: u32, args: &ShapeArgs) -> AttentionShape {
    let cache = CacheShape {
        model,
        batch,
        context: args.context,
        page_size: args.page_size,
        layout: match args.layout {
            LayoutArg::Nhd => KvLayout::Nhd,
            LayoutArg::Hnd => KvLayout::Hnd,
        },
        dtype: match args.dtype {
            DtypeArg::Bf16 => Dtype::Bf16,
            DtypeArg::F16 => Dtype::F16,
        },
        tp: args.tp,
    };
    AttentionShape {
        cache,
        rows: args.gamma + 1,
        k: (!args.full).then_some(args.budget_k),
        mask: if args.tree { Mask::Tree } else { Mask::Causal },
        lse: args.lse,
        batch_invariant: false,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use dustin_autotune::workload::Problem;

    use super::*;
    use crate::args::{Cli, Command};

    fn resolve(arguments: &[&str]) -> Result<TuneRequest, Usage> {
        let cli = Cli::try_parse_from(["autotune", "tune"].iter().chain(arguments)).expect("it parses");
        match cli.command {
            Command::Tune(args) => TuneRequest::resolve(args),
            other => panic!("tune was asked for, not {other:?}"),
        }
    }

    #[test]
    fn without_arguments_the_device_decides() {
        let request = resolve(&[]).unwrap();
        assert_eq!(request.device.choice, DeviceChoice::Auto { gpu: 0 });
        assert_eq!((request.workloads, request.budget, request.output), (None, None, None));
    }

    #[test]
    fn the_headline_workload_can_be_spelt_out() {
        let spelt = resolve(&[
            "--model=qwen2.5-72b",
            "--batch=16",
            "--context=32768",
            "--gamma=4",
            "--budget-k=512",
            "--page-size=16",
            "--layout=nhd",
            "--dtype=bf16",
            "--tp=1",
        ]);
        let named = resolve(&["--workload", "w1"]).unwrap().workloads.unwrap();
        assert_eq!(spelt.unwrap().workloads.unwrap()[0].problem, named[0].problem);
    }

    #[test]
    fn quick_is_a_budget_and_trials_unless_these_are_said() {
        let of = |arguments: &[&str]| {
            let request = resolve(arguments).unwrap();
            (request.budget.map(|budget| budget.as_secs()), request.trials, request.method)
        };
        assert_eq!(of(&[]), (None, None, MethodKind::Random));
        assert_eq!(of(&["--quick"]), (Some(55), Some(48), MethodKind::Surrogate));
        assert_eq!(of(&["--quick", "--budget=9s", "--trials=7"]), (Some(9), Some(7), MethodKind::Surrogate));
        assert_eq!(of(&["--quick", "--method=local"]), (Some(55), Some(48), MethodKind::Local));
    }

    #[test]
    fn full_attention_trees_and_several_batches_can_be_spelt_out() {
        let problems = |arguments: &[&str]| -> Vec<Problem> {
            let model = [&["--model=qwen2.5-72b"], arguments].concat();
            let workloads = resolve(&model).unwrap().workloads.unwrap();
            workloads.into_iter().map(|workload| workload.problem).collect()
        };
        let named = |name| workload::named(name).unwrap().problem;
        assert_eq!(problems(&["--full", "--batch=16,1"]), [named("w1-full"), named("w1-full-b1")]);
        assert_eq!(problems(&["--tree", "--gamma=15"]), [named("w1-tree16")]);
        let request = resolve(&["--model=qwen2.5-72b", "--batch=1,4", "--batch-invariant"]).unwrap();
        let names: Vec<String> =
            request.workloads.unwrap().into_iter().map(|workload| workload.name).collect();
        assert!(request.batch_invariant && names == ["own-b1", "own-b4"], "{names:?}");
    }

    #[test]
    fn a_workload_named_twice_runs_once() {
        let request = resolve(&["--workload", "w1", "--workload", "w1-b1", "--workload", "W1"]).unwrap();
        let names: Vec<String> =
            request.workloads.unwrap().into_iter().map(|workload| workload.name).collect();
        assert_eq!(names, ["w1", "w1-b1"]);
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(resolve(&["--workload", "w9"]).is_err());
        assert!(resolve(&["--model", "GPT-5"]).is_err());
    }
}
