//! Options that several commands have.

use clap::{Args, ValueEnum};

use super::{range, time};

#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// Where to run. `auto` takes the GPU where there is a driver, else the CPU.
    #[arg(long, value_enum, default_value_t = DeviceKind::Auto)]
    pub(crate) device: DeviceKind,
    /// Number of the GPU, as the driver counts them.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) gpu: u32,
    /// The least time that a candidate is given to be checked or timed; one that takes longer is stopped and left out.
    /// Large problems get more.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    pub(crate) candidate_timeout: std::time::Duration,
    /// Wait while another process measures the device, instead of saying so and stopping.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Measure although other processes compute on the GPU, with a warning.
    #[arg(long)]
    pub(crate) allow_shared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceKind {
    Auto,
    Cuda,
    Cpu,
}

#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    /// No progress and no tables, only errors.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Print JSON for scripts on standard output instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WorkloadArgs {
    /// A built-in workload; may be given several times [default: all of the device's].
    #[arg(long, value_name = "NAME", conflicts_with = "model")]
    pub(crate) workload: Vec<String>,
    /// List the built-in workloads and stop.
    #[arg(long)]
    pub(crate) list_workloads: bool,
    /// A workload of one's own: the model whose attention it is, such as Qwen2.5-72B.
    #[arg(long, value_name = "NAME", help_heading = "Own workload")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) shape: ShapeArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Own workload")]
pub(crate) struct ShapeArgs {
    /// Sequences in the batch; several numbers, such as 1,4,16, are a workload each.
    #[arg(long, default_values_t = [16], value_delimiter = ',', value_name = "N", requires = "model", value_parser = range(1..=65_535))]
    pub(crate) batch: Vec<u32>,
    /// Confirmed tokens of each sequence.
    #[arg(long, default_value_t = 32_768, value_name = "TOKENS", requires = "model", value_parser = range(1..))]
    pub(crate) context: u32,
    /// Draft tokens per step; the step has one query row more.
    #[arg(long, default_value_t = 4, value_name = "N", requires = "model", value_parser = range(0..=63))]
    pub(crate) gamma: u32,
    /// Confirmed tokens that attention may read per sequence.
    #[arg(long, default_value_t = 512, value_name = "K", requires = "model", value_parser = range(1..))]
    pub(crate) budget_k: u32,
    /// Read all confirmed tokens: full-cache attention.
    #[arg(long, requires = "model", conflicts_with = "budget_k")]
    pub(crate) full: bool,
    /// The step's rows are a tree's: each sees the rows that its mask names, not all earlier ones.
    #[arg(long, requires = "model")]
    pub(crate) tree: bool,
    /// Tokens in a page of the KV cache: a power of two, 1 to 256.
    #[arg(long, default_value_t = 16, value_name = "TOKENS", requires = "model", value_parser = range(1..))]
    pub(crate) page_size: u32,
    /// Order of a page's items.
    #[arg(long, value_enum, default_value_t = LayoutArg::Nhd, requires = "model")]
    pub(crate) layout: LayoutArg,
    /// Element type of queries, keys, values and outputs.
    #[arg(long, value_enum, default_value_t = DtypeArg::Bf16, requires = "model")]
    pub(crate) dtype: DtypeArg,
    /// Tensor-parallel ranks; a rank has its share of the heads.
    #[arg(long, default_value_t = 1, value_name = "N", requires = "model", value_parser = range(1..))]
    pub(crate) tp: u32,
    /// Ask for the log-sum-exp too.
    #[arg(long, requires = "model")]
    pub(crate) lse: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LayoutArg {
    Nhd,
    Hnd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DtypeArg {
    Bf16,
    F16,
}

/// Several GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gpus {
    /// All that the driver shows.
    All,
    /// Those of these numbers, each once.
    These(Vec<u32>),
}
