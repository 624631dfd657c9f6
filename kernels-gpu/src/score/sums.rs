//! The running maximum and sum of exponentials of each column, over a chunk.

use super::{heads::Group, params::Fold, sequence::Sequence, smem::Plan};
use crate::simt::{
    Shared, math, shuffle,
    thread::{lane, thread_index},
};

/// Maximum of some logits, in units of log2, and sum of their exponentials relative to it.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    pub(super) maximum: f32,
    pub(super) sum: f32,
}

impl Sum {
    /// No logits.
    pub(super) const NONE: Self = Self { maximum: f32::NEG_INFINITY, sum: 0.0 };

    /// What logits are measured from: their maximum, or 0 where there are none, so that negative infinities differ by no
    /// NaN.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn base(maximum: f32) -> f32 {
        if maximum == f32::NEG_INFINITY { 0.0 } else { maximum }
    }

    /// Adds a logit each of two tokens.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn add(&mut self, logits: [f32; 2]) {
        let maximum = self.maximum.max(logits[0]).max(logits[1]);
        let base = Self::base(maximum);
        self.sum = self.sum * math::exp2(self.maximum - base)
            + (math::exp2(logits[0] - base) + math::exp2(logits[1] - base));
        self.maximum = maximum;
    }

    /// The logits of both.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn merge(self, other: Self) -> Self {
        let maximum = self.maximum.max(other.maximum);
        let base = Self::base(maximum);
        let sum = self.sum * math::exp2(self.maximum - base) + other.sum * math::exp2(other.maximum - base);
        Self { maximum, sum }
    }

    /// The logits of this lane and of the one whose number differs by the bits of `mask`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn across(self, mask: u32) -> Self {
        self.merge(Self {
            maximum: shuffle::shuffle_xor_f32(self.maximum, mask),
            sum: shuffle::shuffle_xor_f32(self.sum, mask),
        })
    }
}

/// A thread's sums of the columns `2t` and `2t + 1` of each group of 8, with `t = lane % 4`: in words of shared memory
/// that it alone accesses, since how many there are is known at run time.
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
        let [a, b] = sums.map(|sum| [sum.maximum.to_bits(), sum.sum.to_bits()]);
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
        [Sum { maximum: a, sum: b }, Sum { maximum: c, sum: d }]
    }

    /// Forgets all logits.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn reset(&self, groups: u32) {
        for group in 0..groups {
            self.store(group, [Sum::NONE; 2]);
        }
    }

    /// Adds a product's logits of column group `group`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn add(&self, group: u32, logits: [f32; 4]) {
        let mut sums = self.load(group);
        sums[0].add([logits[0], logits[2]]);
        sums[1].add([logits[1], logits[3]]);
        self.store(group, sums);
    }

    /// Writes the warp's sums of the columns of `heads` as those of chunk `chunk`.
    ///
    /// # Safety
    /// The workspace has room for the sequence, the columns and the chunk. All 32 lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn write(&self, heads: &Group, sequence: &Sequence, workspace: &Fold, chunk: u32) {
        for group in 0..heads.column_groups() {
            let [mut a, mut b] = self.load(heads.first_group + group);
            for bit in 2..5 {
                a = a.across(1 << bit);
                b = b.across(1 << bit);
            }
            // Even rows of lanes write the first column, odd ones the second.
            let second = lane() / 4;
            let column = group * 8 + lane() % 4 * 2 + second;
            if second < 2 && column < heads.columns {
                let sum = if second == 0 { a } else { b };
                let place = sequence.sums(workspace, heads.first_column + column, chunk);
                // SAFETY: the caller's promise.
                unsafe {
                    workspace.sums.store(place, sum.maximum);
                    workspace.sums.store(place + 1, sum.sum);
                }
            }
        }
    }
}
