//! The CPU back end: the contract of the GPU's kernels in plain multi-threaded Rust, tuned like any other device.

mod accept;
mod attention;
mod cache;
mod instructions;
mod math;
mod name;
pub mod score;
pub mod select;
mod vector;
mod verifier;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

pub use self::{
    attention::{
        CpuCandidate, CpuExclusion, CpuVariant, LseMut, OutputMut, SPLITS, VARIANTS, candidates,
        default_candidate,
    },
    instructions::Instructions,
    name::name,
    verifier::{
        AcceptanceArrays, AcceptedArrays, AppendRowArrays, AttentionRowArrays, CaptureRowArrays, CpuVerifier,
        DraftArrays, SetArrays, StepArrays,
    },
};
use crate::error::InvalidInput;

/// What of a CPU bounds a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuLimits {
    /// Threads of the back end.
    pub threads: u32,
}

impl CpuLimits {
    /// The numbers of threads that are tried: 1, 2, 4 … and all.
    fn thread_counts(self) -> Vec<u32> {
        let mut counts: Vec<u32> = (0..32).map(|bit| 1 << bit).take_while(|&n| n < self.threads).collect();
        counts.push(self.threads);
        counts
    }

    /// Refuses, on behalf of `operation`, a number of threads that the back end does not have.
    fn require_threads(self, operation: &'static str, threads: u32) -> Result<(), InvalidInput> {
        if !(1..=self.threads).contains(&threads) {
            let required = format!("from 1 to {}, the back end's threads", self.threads);
            return Err(InvalidInput::new(operation, "threads", required, threads));
        }
        Ok(())
    }
}

/// A pool of threads, and the memory that launches work in.
#[derive(Debug)]
pub struct CpuBackend {
    pool: rayon::ThreadPool,
    instructions: Instructions,
    attention: attention::Memory,
    score: score::Memory,
    select: select::Memory,
}

impl CpuBackend {
    /// A back end of `threads` threads, or of one for each hardware thread if 0.
    ///
    /// # Errors
    /// The operating system refuses the threads.
    pub fn new(threads: u32) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build()?;
        Ok(Self {
            pool,
            instructions: Instructions::best(),
            attention: attention::Memory::default(),
            score: score::Memory::default(),
            select: select::Memory::default(),
        })
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
}

/// Works off `items` with one thread for each scratch memory.
fn drain<S: Send, T: Send>(
    scratch: &mut [S],
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(&mut S, T) + Sync,
) {
    let queue = Mutex::new(items);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    scratch.par_iter_mut().with_max_len(1).for_each(|scratch| {
        while let Some(item) = next() {
            work(scratch, item);
        }
    });
}
