//! What is timed: the workloads that `autotune` tunes for, and writing to caches, which needs no tuning.

use dustin::{
    InvalidInput,
    cache::{
        append,
        compact::problem::CompactProblem,
        synthetic::{Acceptance, AppendInput, CompactInput, Recipe, SequenceShape},
    },
};
use dustin_autotune::workload::{self, Impossible, Problem, Workload};

use crate::SEED;

/// Something to time.
#[derive(Clone, Debug)]
pub enum Work {
    /// A workload that `autotune` tunes for.
    Tuned(Workload),
    /// Writing to caches.
    Cache(CacheWork),
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

const W1: CacheWork =
    CacheWork { name: "w1-append", writes: Writes::Append, warps: None, batch: 16, kv_heads: 8, layers: 80 };

const GPU: [CacheWork; 5] = [
    W1,
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
        let tuned = workload::defaults(gpu)?.into_iter().map(Self::Tuned);
        Ok(tuned.chain(caches.iter().copied().map(Self::Cache)).collect())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Tuned(workload) => &workload.name,
            Self::Cache(work) => work.name,
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
        }
    }

    /// Bytes that the operation must move at the least.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Tuned(workload) => workload.problem.bytes(),
            Self::Cache(work) => work.bytes(),
        }
    }
}

impl CacheWork {
    /// Bytes that the operation must move at the least.
    pub(crate) fn bytes(&self) -> u64 {
        match self.writes {
            Writes::Append => append::bytes(&self.recipe(ROWS).step()),
            Writes::Compact => self.compaction().bytes(),
        }
    }

    fn recipe(&self, rows: u32) -> Recipe {
        Recipe::uniform(self.batch, SequenceShape { length: LENGTH, rows }, self.kv_heads, 128, SEED)
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
    fn inputs_are_sound_and_bytes_are_those_of_the_rows() {
        let small = GPU[2].small();
        assert_eq!(small.append().unwrap().reference().unwrap().status, 0);
        let input = small.compact().unwrap();
        assert_eq!(input.reference().unwrap().status, 0);
        assert_eq!(input.problem, small.compaction());
        assert_eq!(Work::Cache(small).bytes(), 2 * 4 * 2 * 4096);
        let append = CacheWork { writes: Writes::Append, ..small };
        assert_eq!(Work::Cache(append).bytes(), 2 * 5 * 4096);
    }
}
