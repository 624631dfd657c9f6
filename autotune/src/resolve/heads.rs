//! What `heads` is to do.

use std::path::PathBuf;

use dustin_heads::search::Objective;

use super::DeviceRequest;
use crate::{
    args::{BudgetArgs, HeadsArgs, StartArg},
    console::Console,
    outcome::Usage,
};

/// What `heads` is to do.
#[derive(Debug)]
pub(crate) struct HeadsRequest {
    /// Where estimation is timed.
    pub(crate) device: DeviceRequest,
    /// The two models: target and draft.
    pub(crate) models: [ModelFiles; 2],
    /// How sets are chosen.
    pub(crate) budgets: Budgets,
    /// Where heads come from.
    pub(crate) origin: Origin,
    /// The profile, if not the device's default.
    pub(crate) output: Option<PathBuf>,
    /// How to talk.
    pub(crate) console: Console,
}

/// What is said of a model.
#[derive(Debug)]
pub(crate) struct ModelFiles {
    /// Its `config.json`.
    pub(crate) config: Option<PathBuf>,
    /// A ranking of its heads.
    pub(crate) ranking: Option<PathBuf>,
    /// What the profile calls it.
    pub(crate) name: Option<String>,
}

/// Figures among which is chosen: ascending, each once.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// Confirmed tokens of a set.
    pub(crate) k: Vec<u32>,
    /// Tokens of it by the draft's map; the default if there are none.
    pub(crate) quota: Vec<u32>,
    /// First tokens that are always read.
    pub(crate) sinks: Vec<u32>,
    /// Last tokens that are always read; the default if there are none.
    pub(crate) recent: Vec<u32>,
    /// Sizes of the average pooling.
    pub(crate) pooling: Vec<u32>,
    /// Draft tokens of a step.
    pub(crate) gamma: u32,
}

/// Where heads come from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A search on a capture.
    Search(HeadSearch),
    /// Rankings alone.
    Import(Import),
}

/// A search on a capture.
#[derive(Debug)]
pub(crate) struct HeadSearch {
    /// The capture.
    pub(crate) capture: PathBuf,
    /// What is to be found.
    pub(crate) objective: Objective,
    /// The confidence of bounds.
    pub(crate) confidence: f64,
    /// What it begins with.
    pub(crate) start: StartArg,
    /// The most candidates that are judged.
    pub(crate) evaluations: u32,
    /// The most steps of each prompt that are judged.
    pub(crate) steps: u32,
    /// Seed.
    pub(crate) seed: u64,
    /// Sequences of the step that is timed, if not the device's default.
    pub(crate) batch: Option<u32>,
    /// Confirmed tokens of each, likewise.
    pub(crate) context: Option<u32>,
    /// Where the sets of the choice on the held-out prompts go.
    pub(crate) sets: Option<PathBuf>,
    /// Whether the report page is written, too.
    pub(crate) html: bool,
}

/// The best heads of some layers, as rankings have them.
#[derive(Debug)]
pub(crate) struct Import {
    /// Layers of target and draft.
    pub(crate) layers: [Vec<u32>; 2],
    /// Heads of each layer.
    pub(crate) heads: u32,
}

impl HeadsRequest {
    /// # Errors
    /// A size of the pooling that is even; without a capture, several numbers of which there can be one.
    pub(crate) fn resolve(args: HeadsArgs) -> Result<Self, Usage> {
        let budgets = Budgets::resolve(args.budgets)?;
        let origin = match args.capture {
            Some(capture) => Origin::Search(HeadSearch {
                capture,
                objective: if args.search.front {
                    Objective::Front
                } else {
                    Objective::Share(args.search.share)
                },
                confidence: args.search.confidence,
                start: args.search.start,
                evaluations: args.search.evaluations,
                steps: args.search.steps,
                seed: args.search.seed,
                batch: args.batch,
                context: args.context,
                sets: args.sets,
                html: args.html,
            }),
            None => {
                for (option, numbers) in [
                    ("--budget-k", &budgets.k),
                    ("--quota", &budgets.quota),
                    ("--sinks", &budgets.sinks),
                    ("--recent", &budgets.recent),
                ] {
                    if numbers.len() > 1 {
                        return Err(Usage(format!(
                            "{option} takes one number without a capture, as nothing tells which of {numbers:?} is best"
                        )));
                    }
                }
                Origin::Import(Import {
                    layers: [args.import.layers, args.import.draft_layers],
                    heads: args.import.heads,
                })
            }
        };
        let model = |config, ranking, name| ModelFiles { config, ranking, name };
        Ok(Self {
            device: DeviceRequest::resolve(&args.device),
            models: [
                model(args.target_config, args.target_ranking, args.target_name),
                model(args.draft_config, args.draft_ranking, args.draft_name),
            ],
            budgets,
            origin,
            output: args.output,
            console: Console::from(&args.console),
        })
    }
}

impl Budgets {
    fn resolve(args: BudgetArgs) -> Result<Self, Usage> {
        let BudgetArgs { budget_k, quota, sinks, recent, pooling, gamma } = args;
        let [k, quota, sinks, recent, pooling] =
            [budget_k, quota, sinks, recent, pooling].map(|mut numbers: Vec<u32>| {
                numbers.sort_unstable();
                numbers.dedup();
                numbers
            });
        if let Some(even) = pooling.iter().find(|size| size.is_multiple_of(2)) {
            return Err(Usage(format!("--pooling must be odd, but is {even}")));
        }
        Ok(Self { k, quota, sinks, recent, pooling, gamma })
    }
}
