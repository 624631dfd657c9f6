//! Which code serves a head size and a number of columns on this CPU.

use super::{
    super::{instructions::Instructions, vector::Portable},
    task::{Scratch, Task, run},
};

/// Runs a task and writes the partial results of its columns.
pub(super) type Runner = fn(&Task<'_>, &mut Scratch, &mut [f32]);

impl Instructions {
    /// The code for a head size and a number of columns to a pass.
    ///
    /// # Safety
    /// The CPU has the instructions.
    pub(super) unsafe fn runner(self, head_dim: u32, columns: u32) -> Runner {
        match (head_dim, columns) {
            (64, 1) => self.compiled::<64, 1>(),
            (64, 2) => self.compiled::<64, 2>(),
            (64, 4) => self.compiled::<64, 4>(),
            (64, 5) => self.compiled::<64, 5>(),
            (64, 8) => self.compiled::<64, 8>(),
            (64, _) => self.compiled::<64, 10>(),
            (_, 1) => self.compiled::<128, 1>(),
            (_, 2) => self.compiled::<128, 2>(),
            (_, 4) => self.compiled::<128, 4>(),
            (_, 5) => self.compiled::<128, 5>(),
            (_, 8) => self.compiled::<128, 8>(),
            (_, _) => self.compiled::<128, 10>(),
        }
    }

    fn compiled<const DIM: usize, const COLUMNS: usize>(self) -> Runner {
        match self {
            // SAFETY: the promise of the caller of `runner`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => |task, scratch, partial| unsafe {
                x86::avx512::<DIM, COLUMNS>(task, scratch, partial);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => |task, scratch, partial| unsafe {
                x86::avx2::<DIM, COLUMNS>(task, scratch, partial);
            },
            _ => run::<DIM, COLUMNS, Portable>,
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{
        super::super::vector::{Avx2, Avx512},
        Scratch, Task, run,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512<const DIM: usize, const COLUMNS: usize>(
        task: &Task<'_>,
        scratch: &mut Scratch,
        partial: &mut [f32],
    ) {
        run::<DIM, COLUMNS, Avx512>(task, scratch, partial);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2<const DIM: usize, const COLUMNS: usize>(
        task: &Task<'_>,
        scratch: &mut Scratch,
        partial: &mut [f32],
    ) {
        run::<DIM, COLUMNS, Avx2>(task, scratch, partial);
    }
}
