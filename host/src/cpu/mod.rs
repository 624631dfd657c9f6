//! The CPU back end: the contract of the GPU's kernels in plain multi-threaded Rust, tuned like any other device.

mod attention;
mod instructions;
mod math;
pub mod score;
pub mod select;
mod vector;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

pub use self::{
    attention::{
        CpuCandidate, CpuExclusion, CpuVariant, LseMut, OutputMut, SPLITS, VARIANTS, candidates,
        default_candidate,
    },
    instructions::Instructions,
};

/// What of a CPU bounds a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuLimits {
    /// Threads of the back end.
    pub threads: u32,
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
