//! Floats that are worked on side by side: one type for each instruction set, so that accumulators stay in registers.

/// A vector of floats.
///
/// # Safety
/// An implementation is used only on CPUs that have its instructions: [`super::instructions::Instructions`] sees to it.
pub(super) unsafe trait Vector: Copy {
    /// Floats in a vector: a divisor of every head size.
    const LANES: usize;

    /// `LANES` times `x`.
    fn splat(x: f32) -> Self;

    /// The first `LANES` floats of `items`.
    fn load(items: &[f32]) -> Self;

    /// Writes to the first `LANES` floats of `items`.
    fn store(self, items: &mut [f32]);

    /// `self + a · b`, fused where the CPU can.
    fn add_product(self, a: Self, b: Self) -> Self;

    /// The sum of the lanes, in an order of its own.
    fn sum(self) -> f32;
}

/// Plain Rust, for every CPU.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 4]);

// SAFETY: no special instructions.
unsafe impl Vector for Portable {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; 4])
    }

    #[inline(always)]
    fn load(items: &[f32]) -> Self {
        Self([items[0], items[1], items[2], items[3]])
    }

    #[inline(always)]
    fn store(self, items: &mut [f32]) {
        items[..4].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        (self.0[0] + self.0[2]) + (self.0[1] + self.0[3])
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    /// AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    // SAFETY: the instructions are AVX2's and FMA's.
    unsafe impl Vector for Avx2 {
        const LANES: usize = 8;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: the CPU has AVX2.
            Self(unsafe { _mm256_set1_ps(x) })
        }

        #[inline(always)]
        fn load(items: &[f32]) -> Self {
            let items = &items[..Self::LANES];
            // SAFETY: the CPU has AVX2; the slice holds 8 floats, and need not be aligned.
            Self(unsafe { _mm256_loadu_ps(items.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, items: &mut [f32]) {
            let items = &mut items[..Self::LANES];
            // SAFETY: the CPU has AVX2; the slice holds 8 floats, and need not be aligned.
            unsafe { _mm256_storeu_ps(items.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: the CPU has FMA.
            Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: the CPU has AVX2.
            unsafe {
                let quarters = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps(self.0, 1));
                let pairs = _mm_add_ps(quarters, _mm_movehl_ps(quarters, quarters));
                _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)))
            }
        }
    }

    /// AVX-512.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    // SAFETY: the instructions are AVX-512F's.
    unsafe impl Vector for Avx512 {
        const LANES: usize = 16;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: the CPU has AVX-512F.
            Self(unsafe { _mm512_set1_ps(x) })
        }

        #[inline(always)]
        fn load(items: &[f32]) -> Self {
            let items = &items[..Self::LANES];
            // SAFETY: the CPU has AVX-512F; the slice holds 16 floats, and need not be aligned.
            Self(unsafe { _mm512_loadu_ps(items.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, items: &mut [f32]) {
            let items = &mut items[..Self::LANES];
            // SAFETY: the CPU has AVX-512F; the slice holds 16 floats, and need not be aligned.
            unsafe { _mm512_storeu_ps(items.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: the CPU has AVX-512F.
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: the CPU has AVX-512F.
            unsafe { _mm512_reduce_add_ps(self.0) }
        }
    }
}
