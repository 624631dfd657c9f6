//! The running sum of exponentials of each column, over a chunk, and the base that they are relative to.

use super::packed::{Format, SLACK};
use crate::simt::{
    Shared, math, shuffle,
    thread::{lane, thread_index},
    vote,
};

/// The sum of the exponentials of some logits, in units of log2, relative to a base.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    pub(super) base: f32,
    pub(super) sum: f32,
}

impl Sum {
    /// No logits: a base so low that any logit replaces it, and finite, so that it differs by no NaN from negative infinity.
    pub(super) const NONE: Self = Self { base: f32::MIN, sum: 0.0 };

    /// The sum that [`Sum::to_bits`] gave.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn from_bits(bits: u64) -> Self {
        Self { base: f32::from_bits(bits as u32), sum: f32::from_bits((bits >> 32) as u32) }
    }

    /// The base in the low half, the sum in the high one.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.base.to_bits()) | u64::from(self.sum.to_bits()) << 32
    }
}

/// A lane's sums of the columns `lane % 4 · 2` and that plus 1 of a group of 8. The base of a column is the same in all lanes,
/// since what the chunk has stored is relative to it: hardly below the greatest logit of the chunk's first tile, or of a
/// later one that exceeds the base by more than [`SLACK`], which few do. Bases are whole, so that a change of base is
/// exact. The sums of both are of exponentials as they are stored, divided by what the format says.
#[derive(Clone, Copy)]
pub(super) struct Pair(pub(super) [Sum; 2]);

impl Pair {
    /// No logits.
    pub(super) const NONE: Self = Self([Sum::NONE; 2]);

    /// Replaces the bases that `logits` exceed by too much, and returns what the columns' exponentials so far are to be
    /// multiplied by, if there are such bases. All 32 lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn make_room<const H: usize>(&mut self, logits: &[[f32; H]; 2]) -> Option<[f32; 2]> {
        let mut greatest = [logits[0][0], logits[1][0]];
        for h in 1..H {
            greatest = [greatest[0].max(logits[0][h]), greatest[1].max(logits[1][h])];
        }
        let limits = [self.0[0].base + SLACK, self.0[1].base + SLACK];
        if vote::ballot(greatest[0] > limits[0] || greatest[1] > limits[1]) == 0 {
            return None;
        }
        let mut factors = [1.0; 2];
        for column in 0..2 {
            let mut logit = greatest[column];
            for bit in 2..5 {
                logit = logit.max(shuffle::shuffle_xor_f32(logit, 1 << bit));
            }
            if logit > limits[column] {
                let base = whole(logit);
                factors[column] = math::exp2(self.0[column].base - base);
                self.0[column].base = base;
                self.0[column].sum *= factors[column];
            }
        }
        Some(factors)
    }

    /// Adds the exponentials of `logits`, for which there is [room](Pair::make_room), and returns them, cut.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn add<const H: usize>(&mut self, format: Format, logits: &[[f32; H]; 2]) -> [[f32; H]; 2] {
        let mut exponentials = [[0.0; H]; 2];
        for column in 0..2 {
            let base = self.0[column].base;
            let mut sum = 0.0;
            for h in 0..H {
                exponentials[column][h] = format.stored(math::exp2(logits[column][h] - base));
                sum += exponentials[column][h];
            }
            self.0[column].sum += sum;
        }
        exponentials
    }

    /// The warp's sum of one column, and which: of the eight lanes that share their two columns one has the first, one the
    /// second, and six have none. All 32 lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_warp(self, format: Format) -> (Option<u32>, Sum) {
        let mut sums = [self.0[0].sum, self.0[1].sum];
        for bit in 2..5 {
            for column in 0..2 {
                sums[column] += shuffle::shuffle_xor_f32(sums[column], 1 << bit);
            }
        }
        let half = lane() / 4;
        let (sum, base) = if half == 0 { (sums[0], self.0[0].base) } else { (sums[1], self.0[1].base) };
        ((half < 2).then_some(lane() % 4 * 2 + half), Sum { base, sum: sum * format.unit() })
    }
}

/// A whole number next to `x`; `x` itself where floats are hardly finer than whole numbers.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn whole(x: f32) -> f32 {
    // 1.5 · 2²³: the sum's unit in the last place is 1.
    const SHIFT: f32 = 12_582_912.0;
    if x.abs() < 4_194_304.0 { x + SHIFT - SHIFT } else { x }
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
