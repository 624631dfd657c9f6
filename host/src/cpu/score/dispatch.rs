//! Which code serves a head size and a number of columns on this CPU.

use super::{
    super::{instructions::Instructions, vector::Portable},
    chunk::{Chunk, Scratch, Task, run},
};

/// Replaces a chunk's memory by the exponentials of a source's logits.
pub(super) type Runner = fn(&Task<'_>, &mut Scratch, &mut Chunk<'_>);

impl Instructions {
    /// The code for a head size and a number of columns to a pass.
    ///
    /// # Safety
    /// The CPU has the instructions.
    pub(super) unsafe fn score_runner(self, head_dim: u32, columns: u32) -> Runner {
        match (head_dim, columns) {
            (64, 1) => self.score_compiled::<64, 1>(),
            (64, 2) => self.score_compiled::<64, 2>(),
            (64, 4) => self.score_compiled::<64, 4>(),
            (64, _) => self.score_compiled::<64, 8>(),
            (_, 1) => self.score_compiled::<128, 1>(),
            (_, 2) => self.score_compiled::<128, 2>(),
            (_, 4) => self.score_compiled::<128, 4>(),
            (_, _) => self.score_compiled::<128, 8>(),
        }
    }

    fn score_compiled<const DIM: usize, const COLUMNS: usize>(self) -> Runner {
        match self {
            // SAFETY: the promise of the caller of `score_runner`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => |task, scratch, chunk| unsafe {
                x86::avx512::<DIM, COLUMNS>(task, scratch, chunk);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => |task, scratch, chunk| unsafe {
                x86::avx2::<DIM, COLUMNS>(task, scratch, chunk);
            },
            _ => run::<DIM, COLUMNS, Portable>,
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{
        super::super::vector::{Avx2, Avx512},
        Chunk, Scratch, Task, run,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512<const DIM: usize, const COLUMNS: usize>(
        task: &Task<'_>,
        scratch: &mut Scratch,
        chunk: &mut Chunk<'_>,
    ) {
        run::<DIM, COLUMNS, Avx512>(task, scratch, chunk);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2<const DIM: usize, const COLUMNS: usize>(
        task: &Task<'_>,
        scratch: &mut Scratch,
        chunk: &mut Chunk<'_>,
    ) {
        run::<DIM, COLUMNS, Avx2>(task, scratch, chunk);
    }
}
