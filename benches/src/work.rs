//! What is timed: the workloads that `autotune` tunes for, writing to caches and acceptance, which need no tuning, and the layers of a step.

use dustin::{
    InvalidInput,
    attention::problem::AttentionProblem,
    cache::{
        append::problem::AppendProblem,
        compact::problem::CompactProblem,
        synthetic::{Acceptance, AppendInput, CompactInput, Recipe, SequenceShape},
    },
};
use dustin_autotune::workload::{self, Impossible, Problem, Workload};

use crate::{
    SEED,
    accept::{self, AcceptWork},
    small,
};

/// Something to time.
#[derive(Clone, Debug)]
pub enum Work {
    /// A workload that `autotune` tunes for.
    Tuned(Workload),
    /// Writing to caches.
    Cache(CacheWork),
    /// Acceptance of a step's drafts.
    Accept(AcceptWork),
    /// The layers of a step.
    Chain(ChainWork),
}

/// Writing to caches.
#[derive(Clone, Copy, Debug)]
pub struct CacheWork {
    /// Its name.
    pub name: &'static str,
    /// What is written.
    pub writes: Writes,
    /// Warps of a block on a GPU, where it is not the choice made without tuning.
    pub warps: Option<u32>,
    /// Sequences.
    pub batch: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads for each KV head, whose queries are appended, too.
    pub group: u32,
    /// Layers: whose caches are appended to in turn, or that are compacted at once.
    pub layers: u32,
}

/// What is written to caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// The five rows of each sequence's step, to one layer.
    Append,
    /// Five of the sixteen rows of each sequence's tree, in all layers: the first one stays where it is.
    Compact,
}

/// The layers of a step, one behind the other, over caches that take turns.
#[derive(Clone, Copy, Debug)]
pub struct ChainWork {
    /// Its name.
    pub name: &'static str,
    /// Whether queries, keys and values are appended before a layer's attention.
    pub appends: bool,
    /// Whether launches overlap.
    pub overlaps: bool,
    /// The attention of a layer.
    pub problem: AttentionProblem,
    /// Confirmed tokens of each sequence.
    pub context: u32,
    /// Layers.
    pub layers: u32,
    /// Caches that take turns.
    pub caches: u32,
}

const W1: CacheWork = CacheWork {
    name: "w1-append",
    writes: Writes::Append,
    warps: None,
    batch: 16,
    kv_heads: 8,
    group: 0,
    layers: 80,
};

const GPU: [CacheWork; 6] = [
    W1,
    CacheWork { name: "w1-append-q", group: 8, ..W1 },
    CacheWork { name: "w1-append-w8", warps: Some(8), ..W1 },
    CacheWork { name: "w1-compact", writes: Writes::Compact, ..W1 },
    CacheWork { name: "w1-compact-w8", writes: Writes::Compact, warps: Some(8), ..W1 },
    CacheWork { name: "w1-compact-tp8", writes: Writes::Compact, kv_heads: 1, ..W1 },
];

/// Qwen2.5-7B.
const CPU: [CacheWork; 2] = [
    CacheWork { name: "cpu-append", batch: 4, kv_heads: 4, layers: 28, ..W1 },
    CacheWork { name: "cpu-compact", writes: Writes::Compact, batch: 4, kv_heads: 4, layers: 28, ..W1 },
];

/// Confirmed tokens of each sequence: its rows begin in one page and go on in the next.
const LENGTH: u32 = 32_760;

/// Rows of each sequence's step, and of its tree.
const ROWS: u32 = 5;
const TREE: u32 = 16;

/// The rows of a tree that are accepted.
const ACCEPTED: [i32; 5] = [0, 3, 7, 10, 15];

impl Work {
    /// What suits GPUs, or CPUs.
    ///
    /// # Errors
    /// None, unless one of `autotune`'s is impossible.
    pub fn defaults(gpu: bool) -> Result<Vec<Self>, Impossible> {
        let caches: &[CacheWork] = if gpu { &GPU } else { &CPU };
        let tuned = workload::defaults(gpu)?;
        let chains: Vec<_> =
            tuned.iter().filter(|tuned| tuned.name == "w1").flat_map(ChainWork::of).collect();
        let caches = caches.iter().copied().map(Self::Cache);
        let accepts: &[AcceptWork] = if gpu { &accept::GPU } else { &accept::CPU };
        let accepts = accepts.iter().copied().map(Self::Accept);
        Ok(tuned
            .into_iter()
            .map(Self::Tuned)
            .chain(caches)
            .chain(accepts)
            .chain(chains.into_iter().map(Self::Chain))
            .collect())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Tuned(workload) => &workload.name,
            Self::Cache(work) => work.name,
            Self::Accept(work) => work.name,
            Self::Chain(work) => work.name,
        }
    }

    /// The operation that serves it.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Tuned(workload) => match workload.problem {
                Problem::Attention(_) => "attention",
                Problem::Score(_) => "score",
                Problem::Select(_) => "selection",
            },
            Self::Cache(work) => match work.writes {
                Writes::Append => "append",
                Writes::Compact => "compact",
            },
            Self::Accept(_) => "acceptance",
            Self::Chain(_) => "chain",
        }
    }

    /// Bytes that the operation must move at the least; of a chain, for each layer.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Tuned(workload) => workload.problem.bytes(),
            Self::Cache(work) => work.bytes(),
            Self::Accept(work) => work.bytes(),
            Self::Chain(work) => work.bytes(),
        }
    }
}

impl CacheWork {
    /// Bytes that the operation must move at the least.
    pub(crate) fn bytes(&self) -> u64 {
        match self.writes {
            Writes::Append => self.appending().bytes(),
            Writes::Compact => self.compaction().bytes(),
        }
    }

    fn recipe(&self, rows: u32) -> Recipe {
        let shape = SequenceShape { length: LENGTH, rows };
        Recipe { group: self.group, ..Recipe::uniform(self.batch, shape, self.kv_heads, 128, SEED) }
    }

    /// The problem of an append.
    fn appending(&self) -> AppendProblem {
        AppendProblem { step: self.recipe(ROWS).step(), query_heads: self.kv_heads * self.group }
    }

    /// The problem of a compaction.
    fn compaction(&self) -> CompactProblem {
        let accepted = ACCEPTED.len() as u32;
        CompactProblem { step: self.recipe(TREE).step(), layers: self.layers, accepted, counted: true }
    }

    /// The input of an append, with one layer.
    pub(crate) fn append(&self) -> Result<AppendInput, InvalidInput> {
        AppendInput::new(&self.recipe(ROWS))
    }

    /// The input of a compaction.
    pub(crate) fn compact(&self) -> Result<CompactInput, InvalidInput> {
        let CompactProblem { layers, accepted, counted, .. } = self.compaction();
        let acceptance = Acceptance { layers, accepted: Some(accepted), counted };
        let mut input = CompactInput::new(&self.recipe(TREE), acceptance)?;
        for list in input.accepted.chunks_mut(input.accepted_stride as usize) {
            list[..ACCEPTED.len()].copy_from_slice(&ACCEPTED);
        }
        Ok(input)
    }

    /// The same of one sequence, in two layers at the most: what the reference judges in a moment.
    pub(crate) fn small(&self) -> Self {
        Self { batch: 1, layers: self.layers.min(2), ..*self }
    }
}

impl ChainWork {
    /// The chains of a workload of attention: with and without overlap, and attention alone.
    fn of(workload: &Workload) -> Vec<Self> {
        let Problem::Attention(problem) = &workload.problem else { return Vec::new() };
        let chain = Self {
            name: "w1-chain",
            appends: true,
            overlaps: true,
            problem: *problem,
            context: workload.context(),
            layers: 80,
            caches: 8,
        };
        vec![
            chain,
            Self { name: "w1-chain-serial", overlaps: false, ..chain },
            Self { name: "w1-chain-attention", appends: false, ..chain },
        ]
    }

    /// Bytes that a layer must move at the least.
    pub(crate) fn bytes(&self) -> u64 {
        let appended = if self.appends { AppendProblem::from(&self.problem).bytes() } else { 0 };
        self.problem.bytes() + appended
    }

    /// The same of one short sequence, in two layers: what the reference judges in a moment.
    pub(crate) fn small(&self) -> Self {
        let (problem, context) = small::attention(&self.problem, self.context);
        Self { problem, context, layers: 2, caches: 2, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_work_has_a_name_of_its_own_and_something_to_move() {
        let work = [true, false].map(|gpu| Work::defaults(gpu).unwrap()).concat();
        let names: HashSet<&str> = work.iter().map(Work::name).collect();
        assert_eq!(names.len(), work.len());
        assert!(work.iter().all(|work| work.bytes() > 0));
    }

    #[test]
    fn a_gpu_has_three_chains_whose_small_ones_are_possible() {
        let chains = Work::defaults(true).unwrap().into_iter().filter_map(|work| match work {
            Work::Chain(work) => Some(work),
            _ => None,
        });
        let chains: Vec<_> = chains.collect();
        assert_eq!(chains.len(), 3);
        assert!(chains.iter().all(|chain| chain.small().problem.validate() == Ok(()) && chain.caches >= 8));
        assert!(Work::defaults(false).unwrap().iter().all(|work| !matches!(work, Work::Chain(_))));
    }

    #[test]
    fn inputs_are_sound_and_bytes_are_those_of_the_rows() {
        let small = GPU[3].small();
        assert_eq!(small.append().unwrap().reference().unwrap().status, 0);
        let input = small.compact().unwrap();
        assert_eq!(input.reference().unwrap().status, 0);
        assert_eq!(input.problem, small.compaction());
        assert_eq!(Work::Cache(small).bytes(), 2 * 4 * 2 * 4096);
        let append = CacheWork { writes: Writes::Append, ..small };
        assert_eq!(Work::Cache(append).bytes(), 2 * 5 * 4096);
        let queries = GPU[1].small();
        assert_eq!(queries.append().unwrap().reference().unwrap().status, 0);
        assert_eq!(queries.append().unwrap().problem(), queries.appending());
        assert_eq!(Work::Cache(queries).bytes(), 2 * 5 * (4096 + 16_384));
    }
}
