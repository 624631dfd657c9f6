//! The CPU back end: the contract of the GPU's kernels in plain multi-threaded Rust, tuned like any other device.
//!
//! One task serves one sequence, one KV head and one split of the sequence's set. It gathers a tile of tokens,
//! converts it to fp32 once, and runs all query columns of the KV head over it with an online softmax. Splits are
//! merged in their order, so that for a given variant and number of splits, on one CPU, a sequence's bits depend on
//! the sequence alone, whatever the number of threads.

mod dispatch;
mod finish;
mod math;
mod sequence;
mod task;
mod variants;
mod vector;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use rayon::prelude::*;

pub use self::{
    dispatch::Instructions,
    variants::{
        CpuCandidate, CpuExclusion, CpuLimits, CpuVariant, SPLITS, VARIANTS, candidates, default_candidate,
    },
};
use self::{
    sequence::Sequence,
    task::{Scratch, Shape, Task},
};
use crate::{
    attention::{
        arrays::{AttentionArrays, LogBase},
        problem::AttentionProblem,
    },
    error::InvalidInput,
    error::require_items,
};

const OPERATION: &str = "sparse attention on the CPU";

/// Where outputs go, strided as the arrays' strides say.
#[derive(Debug)]
pub enum OutputMut<'a> {
    /// 16-bit items of the problem's element type.
    Rounded(&'a mut [u16]),
    /// fp32 items.
    F32(&'a mut [f32]),
}

impl OutputMut<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Rounded(items) => items.len(),
            Self::F32(items) => items.len(),
        }
    }
}

/// Where log-sum-exps go, `[total_rows, query_heads]`.
#[derive(Debug)]
pub struct LseMut<'a> {
    /// The items.
    pub items: &'a mut [f32],
    /// Their base.
    pub base: LogBase,
}

/// A pool of threads, and the memory that launches work in.
#[derive(Debug)]
pub struct CpuBackend {
    pool: rayon::ThreadPool,
    instructions: Instructions,
    scratch: Vec<Scratch>,
    partials: Vec<f32>,
}

impl CpuBackend {
    /// A back end of `threads` threads, or of one for each hardware thread if 0.
    ///
    /// # Errors
    /// The operating system refuses the threads.
    pub fn new(threads: u32) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build()?;
        Ok(Self { pool, instructions: Instructions::best(), scratch: Vec::new(), partials: Vec::new() })
    }

    /// The vector instructions that launches use: the best that this CPU has.
    #[must_use]
    pub const fn instructions(&self) -> Instructions {
        self.instructions
    }

    /// What bounds a launch.
    #[must_use]
    pub fn limits(&self) -> CpuLimits {
        CpuLimits { threads: self.pool.current_num_threads() as u32 }
    }

    /// Attention of `problem` over `arrays`, as [`crate::attention::reference::attention`] defines it: rows that belong to no
    /// sequence are not written. Returns the status word, 0 if the arrays' data is as documented.
    ///
    /// # Errors
    /// The problem, the strides, the scale or the candidate is invalid, an array is too short, or a log-sum-exp is
    /// given where the problem asks for none or missing where it asks for one.
    pub fn attention(
        &mut self,
        problem: &AttentionProblem,
        candidate: &CpuCandidate,
        arrays: &AttentionArrays<'_>,
        output: OutputMut<'_>,
        lse: Option<LseMut<'_>>,
    ) -> Result<u64, InvalidInput> {
        arrays.validate(problem)?;
        candidate.validate(self.limits())?;
        require_items(OPERATION, "output", output.len(), arrays.strides.output_extent(problem))?;
        if lse.is_some() != problem.lse {
            let given = if lse.is_some() { "given" } else { "missing" };
            let required = if problem.lse { "given" } else { "missing, as the problem asks for none" };
            return Err(InvalidInput::new(OPERATION, "lse", required, given));
        }
        if let Some(lse) = &lse {
            let required = u64::from(problem.total_rows) * u64::from(problem.query_heads);
            require_items(OPERATION, "lse", lse.items.len(), required)?;
        }

        let status = AtomicU64::new(0);
        let report = |word: u64| {
            status.fetch_max(word, Ordering::Relaxed);
        };
        let mut owners = vec![None; problem.total_rows as usize];
        let sequences: Vec<Option<Sequence>> = (0..problem.batch)
            .map(|index| Sequence::new(problem, arrays, index, &mut owners, &report))
            .collect();
        let shape = Shape::new(problem, candidate, &sequences);
        self.partials.resize(shape.partial_items(), 0.0);
        self.scratch.resize_with(candidate.threads as usize, Scratch::default);

        // SAFETY: the CPU has the instructions: they were chosen among those available.
        let run = unsafe { self.instructions.runner(problem.kv.head_dim, candidate.variant.columns) };
        self.pool.install(|| {
            let tasks = shape.tasks(&mut self.partials);
            drain(&mut self.scratch, tasks, |scratch, (sequence, place, partial)| {
                if let Some(sequence) = &sequences[sequence] {
                    run(
                        &Task { problem, candidate, arrays, sequence, place, report: &report },
                        scratch,
                        partial,
                    );
                }
            });
            finish::write(problem, arrays, &shape, &owners, &self.partials, &mut self.scratch, output, lse);
        });
        Ok(status.into_inner())
    }
}

/// Works off `items` with one thread for each scratch memory.
fn drain<T: Send>(
    scratch: &mut [Scratch],
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(&mut Scratch, T) + Sync,
) {
    let queue = Mutex::new(items);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    scratch.par_iter_mut().with_max_len(1).for_each(|scratch| {
        while let Some(item) = next() {
            work(scratch, item);
        }
    });
}

#[cfg(test)]
mod tests;
