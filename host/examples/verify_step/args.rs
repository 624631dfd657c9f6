//! What is asked on the command line, and the step that follows from it.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use dustin::{
    Dtype,
    accept::problem::{ScoreKind, ScoreType, Scores},
    geometry::{Geometry, ModelShare, PRESETS, preset},
    kv::{KvLayout, PagedKv},
    profile::LayerHeads,
    score::problem::Source,
    verifier::{Acceptance, Draft, DraftCache, Limits, Model, Rules, VerifierProblem},
};

/// One verification step on synthetic caches with planted needles.
#[derive(Clone, Debug, Parser)]
#[command(after_help = "Where a default depends on the device, it is the GPU's and, in brackets, the CPU's.")]
pub(crate) struct Args {
    /// Where the step runs; `auto` is the GPU where there is one.
    #[arg(long, value_enum, default_value_t = Place::Auto)]
    pub device: Place,
    /// The target, a model's name [default: Qwen2.5-72B (Qwen2.5-7B)].
    #[arg(long)]
    pub target: Option<String>,
    /// The draft, likewise.
    #[arg(long, default_value = "Qwen2.5-0.5B")]
    pub draft: String,
    /// Sequences [default: 16 (2)].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    /// Confirmed tokens of each [default: 32768 (8192)].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub context: Option<u32>,
    /// Layers of the target [default: the model's (4)].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub layers: Option<u32>,
    /// Distinct caches, which the layers take in turn: those of all layers may not fit [default: 8 (4)].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub caches: Option<u32>,
    /// The budget: confirmed tokens that attention reads of each sequence.
    #[arg(long, default_value_t = 512)]
    pub budget: u32,
    /// Draft tokens.
    #[arg(long, default_value_t = 4)]
    pub gamma: u32,
    /// A profile of `autotune`, whose choices of kernels serve; without one the built-in ones do.
    #[arg(long)]
    pub profile: Option<PathBuf>,
    /// What queries, caches and needles follow from.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Where the step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// On the GPU where there is one.
    Auto,
    /// On the GPU.
    Cuda,
    /// On the CPU.
    Cpu,
}

const PAGE: u32 = 16;
/// First and last tokens that are always read; needles stand between them.
pub(crate) const SINKS: u32 = 4;
pub(crate) const RECENT: u32 = 64;
/// Query heads that the target's map is gathered from, and those of each layer that the draft's is.
const HEADS: u32 = 4;
const DRAFT_LAYERS: u32 = 3;

/// The step, as arguments and defaults give it.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub target: Geometry,
    pub draft: Geometry,
    pub batch: u32,
    pub context: u32,
    pub layers: u32,
    pub caches: u32,
    pub budget: u32,
    pub gamma: u32,
    pub seed: u64,
}

impl Shape {
    pub(crate) fn new(args: &Args, on_gpu: bool) -> anyhow::Result<Self> {
        let of = |name: &str| {
            let known: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
            preset(name).with_context(|| format!("{name:?} is none of the models {}", known.join(", ")))
        };
        let pick = |given: Option<u32>, gpu, cpu| given.unwrap_or(if on_gpu { gpu } else { cpu });
        let name = args.target.as_deref().unwrap_or(if on_gpu { "Qwen2.5-72B" } else { "Qwen2.5-7B" });
        let target = of(name)?;
        let layers = pick(args.layers, target.layers, 4);
        let shape = Self {
            target,
            draft: of(&args.draft)?,
            batch: pick(args.batch, 16, 2),
            context: pick(args.context, 32_768, 8_192),
            layers,
            caches: pick(args.caches, 8, 4).min(layers),
            budget: args.budget,
            gamma: args.gamma,
            seed: args.seed,
        };
        ensure!(shape.budget < shape.context, "--budget must be below --context: else every token is read");
        let least = SINKS + RECENT + 32;
        ensure!(shape.budget >= least, "--budget must be at least {least}: sinks, recent tokens and needles");
        ensure!((1..64).contains(&shape.gamma), "--gamma must be from 1 to 63");
        let tokens = u64::from(shape.batch) * (u64::from(shape.context) + u64::from(PAGE + shape.rows()));
        ensure!(tokens < 1 << 31, "--batch times --context must be below 2^31 tokens");
        Ok(shape)
    }

    /// The step's own rows of a sequence: the pending token and the drafts.
    pub(crate) const fn rows(&self) -> u32 {
        self.gamma + 1
    }

    /// Pages of each sequence.
    pub(crate) const fn pages(&self) -> u32 {
        (self.context + self.rows()).div_ceil(PAGE)
    }

    /// What the verifier is made for: a target with as many layers as there are caches.
    pub(crate) fn problem(&self) -> VerifierProblem {
        let target = Geometry { layers: self.caches, ..self.target };
        let heads = |model: Geometry| {
            Source::spread_heads(HEADS, HEADS.min(model.kv_heads), model.kv_heads, model.group())
        };
        let rules = Rules {
            sinks: SINKS,
            recent: RECENT,
            ..Rules::by_target(vec![LayerHeads { layer: 0, heads: heads(target) }], self.budget)
        };
        let of_draft = |layer| LayerHeads { layer, heads: heads(self.draft) };
        let rules = rules.with_draft(
            (0..DRAFT_LAYERS.min(self.draft.layers)).map(of_draft).collect(),
            // A quarter: the needles of the draft's queries have to fit.
            self.budget / 4,
        );
        let length = self.context + self.rows();
        let limits = Limits {
            max_batch: self.batch,
            max_total_tokens: self.batch * length,
            max_length: length,
            rows: self.rows(),
            gamma: self.gamma,
            slots: self.batch,
        };
        let draft = Draft { model: self.model(self.draft), cache: DraftCache::Complete };
        let scores = Scores { dtype: ScoreType::Bf16, kind: ScoreKind::Logits };
        VerifierProblem {
            // The drafts are taken as they are, as those of a greedy draft model: no scores of its own are needed.
            acceptance: Some(Acceptance { target: scores, draft: None }),
            ..VerifierProblem::new(self.model(target), Some(draft), limits, rules)
        }
    }

    fn model(&self, geometry: Geometry) -> Model {
        let Geometry { kv_heads, head_dim, .. } = geometry;
        let kv = PagedKv::dense(KvLayout::Nhd, self.batch * self.pages(), PAGE, kv_heads, head_dim);
        Model::new(ModelShare::whole(geometry), kv, Dtype::Bf16)
    }
}
