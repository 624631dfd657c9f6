//! The arguments of `heads`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ConsoleArgs, DeviceArgs, range};

#[derive(Debug, Args)]
pub(crate) struct HeadsArgs {
    /// Capture to choose and judge by: a file, an index or the folder of one, as dustin-capture writes them. Without it, `--layers`
    /// says which heads of a ranking are taken, and nobody judges them.
    #[arg(value_name = "CAPTURE", required_unless_present = "layers")]
    pub(crate) capture: Option<PathBuf>,
    /// The target's config.json, which the capture must be of.
    #[arg(long, value_name = "FILE")]
    pub(crate) target_config: Option<PathBuf>,
    /// The draft's config.json, likewise.
    #[arg(long, value_name = "FILE")]
    pub(crate) draft_config: Option<PathBuf>,
    /// Ranking of the target's heads: CompressKV's head_idx.json or head_score.json [default: the capture's own].
    #[arg(long, value_name = "FILE")]
    pub(crate) target_ranking: Option<PathBuf>,
    /// Ranking of the draft's heads, likewise.
    #[arg(long, value_name = "FILE")]
    pub(crate) draft_ranking: Option<PathBuf>,
    /// What the profile calls the target [default: the capture's name of it].
    #[arg(long, value_name = "NAME")]
    pub(crate) target_name: Option<String>,
    /// What the profile calls the draft [default: the capture's name of it; without a draft, none].
    #[arg(long, value_name = "NAME")]
    pub(crate) draft_name: Option<String>,
    #[command(flatten)]
    pub(crate) search: HeadSearchArgs,
    #[command(flatten)]
    pub(crate) budgets: BudgetArgs,
    #[command(flatten)]
    pub(crate) import: ImportArgs,
    /// Sequences of the step whose estimation is timed [default: 16; on a CPU 2].
    #[arg(long, value_name = "N", value_parser = range(1..=65_535))]
    pub(crate) batch: Option<u32>,
    /// Confirmed tokens of each [default: 32768; on a CPU 2048].
    #[arg(long, value_name = "TOKENS", value_parser = range(1..=1 << 20))]
    pub(crate) context: Option<u32>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Profile to take tuned choices from and to put the selection into; all else in it is kept [default: profiles/DEVICE.toml].
    #[arg(long, short, value_name = "FILE", visible_alias = "profile", visible_short_alias = 'p')]
    pub(crate) output: Option<PathBuf>,
    /// Write the sets of the choice on the held-out prompts, from which dustin-divergence tells what they do to the model's output.
    #[arg(long, value_name = "FILE", conflicts_with = "front", requires = "capture")]
    pub(crate) sets: Option<PathBuf>,
    /// Write the profile's report page, too.
    #[arg(long)]
    pub(crate) html: bool,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Search")]
pub(crate) struct HeadSearchArgs {
    /// The share of full-head estimation's recovery that must be kept; few good heads may keep more than all, so it may exceed 1.
    #[arg(long, default_value_t = 0.95, value_name = "SHARE", value_parser = share)]
    pub(crate) share: f64,
    /// The confidence with which it must be kept, over prompts.
    #[arg(long, default_value_t = 0.95, value_name = "P", value_parser = confidence)]
    pub(crate) confidence: f64,
    /// Print all candidates that no other beats in both estimation time and share; write no profile.
    #[arg(long, conflicts_with_all = ["share", "html"])]
    pub(crate) front: bool,
    /// What the search begins with.
    #[arg(long, value_enum, default_value_t = StartArg::Recipe)]
    pub(crate) start: StartArg,
    /// The most candidates that are judged.
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = range(1..=10_000_000))]
    pub(crate) evaluations: u32,
    /// The most steps of each prompt that are judged.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = range(1..=65_535))]
    pub(crate) steps: u32,
    /// Seed of the search.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}

/// What a search begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StartArg {
    /// Four heads of one target layer and of each of three draft layers, half of the budget by the draft.
    Recipe,
    /// As many heads of each model, the best of all layers.
    Ranking,
}

impl StartArg {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Ranking => "ranking",
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Budgets")]
pub(crate) struct BudgetArgs {
    /// Confirmed tokens of a set: one number, or several to choose among.
    #[arg(long, visible_alias = "k", value_name = "K", value_delimiter = ',', default_values_t = [512], value_parser = range(1..))]
    pub(crate) budget_k: Vec<u32>,
    /// Tokens of it by the draft's map [default: sixteenths of the budget; without a capture half of it if a draft is ranked].
    #[arg(long, visible_alias = "m", value_name = "M", value_delimiter = ',', value_parser = range(0..))]
    pub(crate) quota: Vec<u32>,
    /// First tokens of a sequence that are always read.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [4], value_parser = range(0..))]
    pub(crate) sinks: Vec<u32>,
    /// Last tokens that are always read [default: a sixteenth of the smallest budget].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = range(0..))]
    pub(crate) recent: Vec<u32>,
    /// Sizes of the average pooling of scores, odd; 1 is none.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 5], value_parser = range(1..))]
    pub(crate) pooling: Vec<u32>,
    /// Draft tokens of a step.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = range(1..=63))]
    pub(crate) gamma: u32,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Without a capture")]
pub(crate) struct ImportArgs {
    /// Layers of the target whose best heads are taken, by its ranking.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        conflicts_with = "capture",
        requires = "target_ranking",
        requires = "target_name"
    )]
    pub(crate) layers: Vec<u32>,
    /// Layers of the draft, likewise.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        requires = "layers",
        requires = "draft_ranking",
        requires = "draft_name"
    )]
    pub(crate) draft_layers: Vec<u32>,
    /// Heads of each of these layers.
    #[arg(long, default_value_t = 4, value_name = "N", requires = "layers", value_parser = range(1..))]
    pub(crate) heads: u32,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| share.is_finite() && *share > 0.0);
    share.ok_or_else(|| "expected a share above 0, such as 0.95".into())
}

fn confidence(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|found: &f64| *found > 0.5 && *found < 1.0);
    found.ok_or_else(|| "expected a probability above 0.5 and below 1, such as 0.95".into())
}
