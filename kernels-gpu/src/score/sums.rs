//! The running maximum and sum of exponentials of each column, over a chunk.

use super::{
    heads::Group,
    params::Fold,
    sequence::Sequence,
    smem::{COLUMN_GROUP, Plan},
};
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

/// A thread's sums of the columns `lane / 4` and that plus 8 of each group of 16: in words of shared memory that it alone
/// accesses, since how many there are is known at run time.
pub(super) struct Running<'a> {
    plan: &'a Plan,
    threads: u32,
}

impl<'a> Running<'a> {
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn new(plan: &'a Plan, threads: u32) -> Self {
        Self { plan, threads }
    }

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn store(&self, group: u32, sums: [Sum; 2]) {
        let [a, b] = sums.map(|sum| [sum.base.to_bits(), sum.sum.to_bits()]);
        // SAFETY: the plan has a word for each thread and group of columns, which its thread alone accesses.
        unsafe {
            Shared::<[u32; 4]>::at(self.plan.running)
                .store(group * self.threads + thread_index(), [a[0], a[1], b[0], b[1]]);
        }
    }

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn load(&self, group: u32) -> [Sum; 2] {
        // SAFETY: as in `store`.
        let words =
            unsafe { Shared::<[u32; 4]>::at(self.plan.running).load(group * self.threads + thread_index()) };
        let [a, b, c, d] = words.map(f32::from_bits);
        [Sum { base: a, sum: b }, Sum { base: c, sum: d }]
    }

    /// Forgets all logits.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn reset(&self, groups: u32) {
        for group in 0..groups {
            self.store(group, [Sum::NONE; 2]);
        }
    }

    /// Adds the logits of `N` tokens: of the lane's first column of group `group` and, where there are `columns` enough, of
    /// its second one.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn add<const N: usize>(&self, group: u32, columns: u32, logits: &[[f32; N]; 2]) {
        let mut sums = self.load(group);
        sums[0].add(&logits[0]);
        if columns > 8 {
            sums[1].add(&logits[1]);
        }
        self.store(group, sums);
    }

    /// Writes the warp's sums of the columns of `heads` as those of chunk `chunk`.
    ///
    /// # Safety
    /// The workspace has room for the sequence, the columns and the chunk. All 32 lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn write(&self, heads: &Group, sequence: &Sequence, workspace: &Fold, chunk: u32) {
        for group in 0..heads.column_groups() {
            let [mut low, mut high] = self.load(heads.first_group + group);
            for bit in 0..2 {
                low = low.across(1 << bit);
                high = high.across(1 << bit);
            }
            // Of the four lanes that share their columns, one writes the first and one the second.
            let half = lane() % 4;
            let column = group * COLUMN_GROUP + lane() / 4 + 8 * half;
            if half < 2 && column < heads.columns {
                let sum = if half == 0 { low } else { high };
                let place = sequence.sums(workspace, heads.first_column + column, chunk);
                // SAFETY: the caller's promise.
                unsafe {
                    workspace.sums.store(place, sum.base);
                    workspace.sums.store(place + 1, sum.sum);
                }
            }
        }
    }
}
