//! The running sum of exponentials of each column, over a chunk, and the base that it is relative to.

use crate::simt::{
    Shared, math, shuffle,
    thread::{lane, thread_index},
};

/// The sum of exponentials of some logits, in units of log2, relative to a base: one of them, which the largest exceeds by
/// [`SLACK`] at most. What a softmax loses by that is nothing, and the base hardly ever changes.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    pub(super) base: f32,
    pub(super) sum: f32,
}

/// How far a logit may exceed the base of its sum.
const SLACK: f32 = 32.0;

impl Sum {
    /// No logits: a base so low that any logit replaces it, and finite, so that it differs by no NaN from negative infinity.
    pub(super) const NONE: Self = Self { base: f32::MIN, sum: 0.0 };

    /// Adds the logits of `N` tokens, a power of two.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn add<const N: usize>(&mut self, logits: &[f32; N]) {
        let mut maximum = logits[0];
        for i in 1..N {
            maximum = maximum.max(logits[i]);
        }
        if maximum > self.base + SLACK {
            self.sum *= math::exp2(self.base - maximum);
            self.base = maximum;
        }
        let mut sum = 0.0;
        for i in 0..N / 2 {
            sum += math::exp2(logits[2 * i] - self.base) + math::exp2(logits[2 * i + 1] - self.base);
        }
        self.sum += sum;
    }

    /// The logits of both.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn merge(self, other: Self) -> Self {
        let base = self.base.max(other.base);
        let sum = self.sum * math::exp2(self.base - base) + other.sum * math::exp2(other.base - base);
        Self { base, sum }
    }

    /// The logits of this lane and of the one whose number differs by the bits of `mask`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn across(self, mask: u32) -> Self {
        self.merge(Self {
            base: shuffle::shuffle_xor_f32(self.base, mask),
            sum: shuffle::shuffle_xor_f32(self.sum, mask),
        })
    }
}

/// A thread's sums of the columns `lane / 4` and that plus 8 of a group of 16.
#[derive(Clone, Copy)]
pub(super) struct Pair(pub(super) [Sum; 2]);

impl Pair {
    /// No logits.
    pub(super) const NONE: Self = Self([Sum::NONE; 2]);

    /// Adds the logits of `N` tokens: of the first column and, where there are `columns` enough, of the second one.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn add<const N: usize>(&mut self, columns: u32, logits: &[[f32; N]; 2]) {
        self.0[0].add(&logits[0]);
        if columns > 8 {
            self.0[1].add(&logits[1]);
        }
    }

    /// The warp's sum of one column, and which: of the four lanes that share their two columns one has the first, one the
    /// second, and two have none. All 32 lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_warp(self) -> (Option<u32>, Sum) {
        let [mut low, mut high] = self.0;
        for bit in 0..2 {
            low = low.across(1 << bit);
            high = high.across(1 << bit);
        }
        let half = lane() % 4;
        ((half < 2).then_some(lane() / 4 + 8 * half), if half == 0 { low } else { high })
    }
}

/// A thread's [`Pair`] of each group of columns: in words of shared memory that it alone accesses, since how many there are is
/// known at run time.
#[derive(Clone, Copy)]
pub(super) struct Running {
    /// Offset of the words.
    pub(super) offset: u32,
    /// Threads in the block.
    pub(super) threads: u32,
}

impl Running {
    /// Replaces the sums of column group `group`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn store(self, group: u32, Pair([low, high]): Pair) {
        let words = [low.base.to_bits(), low.sum.to_bits(), high.base.to_bits(), high.sum.to_bits()];
        // SAFETY: there is a word for each thread and group of columns, which its thread alone accesses.
        unsafe { Shared::<[u32; 4]>::at(self.offset).store(group * self.threads + thread_index(), words) };
    }

    /// The sums of column group `group`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn load(self, group: u32) -> Pair {
        // SAFETY: as in `store`.
        let [a, b, c, d] =
            unsafe { Shared::<[u32; 4]>::at(self.offset).load(group * self.threads + thread_index()) };
        let sum = |base, sum| Sum { base: f32::from_bits(base), sum: f32::from_bits(sum) };
        Pair([sum(a, b), sum(c, d)])
    }

    /// Forgets all logits of `groups` groups of columns.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn reset(self, groups: u32) {
        for group in 0..groups {
            self.store(group, Pair::NONE);
        }
    }
}
