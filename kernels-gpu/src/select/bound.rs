//! Bounds: a few bins of scores, and which of them holds the last one wanted.
//!
//! One warp serves one histogram, so that those of two maps are looked through at the same time, between two barriers.

use super::scan;
use crate::simt::{Shared, atomic, shuffle, thread::lane, vote};

/// Bins of a histogram.
pub(super) const BINS: u32 = 512;

/// Bins that one lane looks through.
const LANE_BINS: u32 = BINS / 32;

/// How keys fall into bins: from `base` on, the last bin being of all above, too. A key tells eight steps of a doubling apart
/// in its upper bits, and 64 in some more.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    base: u32,
    /// How far from the base on there are 64 bins to a doubling; behind that there are eight.
    fine: u32,
}

impl Scale {
    /// Made for importance maps: from 2⁻⁵⁶, eight bins to each of the 64 doublings that sums of probabilities lie in.
    pub(super) const ALL: Self = Self { base: 1 << 31 | (127 - 56) << 23, fine: 0 };

    /// Four doublings from `base` on in 64 bins each, and 32 in eight; all of [`Scale::ALL`] where `base` is lower.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn fine_from(base: u32) -> Self {
        if base <= Self::ALL.base { Self::ALL } else { Self { base, fine: 4 << 23 } }
    }

    /// The bin of a key that is at least the base; the lowest one for others.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn bin(self, key: u32) -> u32 {
        let above = key.saturating_sub(self.base);
        let coarse = (above >> 20) + (self.fine >> 17) - (self.fine >> 20);
        if above < self.fine { above >> 17 } else { coarse.min(BINS - 1) }
    }

    /// The least key of a bin of [`Scale::ALL`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn least_of_all(bin: u32) -> u32 {
        Self::ALL.base + (bin << 20)
    }
}

/// What is known of a threshold in bins.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// The bin that holds the last one wanted; 0 where fewer have been counted than are wanted.
    pub(super) bin: u32,
    /// How many of that bin are wanted; more than can be there where fewer have been counted.
    pub(super) wanted: u32,
    /// How many the bin holds.
    pub(super) there: u32,
}

/// Counts of keys, in the block's shared memory: [`Bins::BYTES`] bytes, zero at first, aligned to 16 bytes.
#[derive(Clone, Copy)]
pub(super) struct Bins {
    offset: u32,
}

impl Bins {
    /// Bytes of a histogram.
    pub(super) const BYTES: u32 = BINS * 4;

    /// Those `offset` bytes into the block's shared memory.
    pub(super) const fn at(offset: u32) -> Self {
        Self { offset }
    }

    /// Takes back one that was counted.
    ///
    /// # Safety
    /// As [`Bins::count`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn take_back(self, bin: u32) {
        // SAFETY: the caller's promise. Sums are modulo 2^32.
        unsafe { atomic::shared_add(Shared::at(self.offset), bin, u32::MAX) };
    }

    /// Counts one.
    ///
    /// # Safety
    /// The bins are there, zeroed before the block has met, and `bin` is one of them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn count(self, bin: u32) {
        // Additions of the constant 1 are merged where lanes of a warp have the same bin (`ATOMS.POPC.INC`).
        // SAFETY: the caller's promise; between barriers the counts are accessed by atomics alone.
        unsafe { atomic::shared_add(Shared::at(self.offset), bin, 1) };
    }

    /// Where number `wanted`, counted from the top bin downwards, lies. All lanes of the calling warp take part, and get the
    /// same.
    ///
    /// # Safety
    /// The bins are there, and the block has met since they were counted.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn find(self, wanted: u32) -> Found {
        // Lanes take the bins from the top.
        let first = (BINS - LANE_BINS * (lane() + 1)) / 4;
        let mut counts = [[0; 4]; LANE_BINS as usize / 4];
        let mut sum = 0;
        for i in 0..counts.len() {
            // SAFETY: the caller's promise.
            let [a, b, c, d] = unsafe { Shared::<[u32; 4]>::at(self.offset).load(first + i as u32) };
            sum += (a + b) + (c + d);
            counts[counts.len() - 1 - i] = [d, c, b, a];
        }
        let up_to_here = scan::sum_of_lanes_up_to_here(sum);
        let reached = vote::ballot(up_to_here >= wanted);
        // From here on for the lane whose bins hold it; others compute nothing that is used.
        let wanted = wanted.wrapping_sub(up_to_here - sum);
        let (mut down, mut above, mut there, mut up_to_bin) = (0, 0, counts[0][0], 0);
        for i in 0..LANE_BINS as usize - 1 {
            up_to_bin += counts[i / 4][i % 4];
            if up_to_bin < wanted {
                down = i as u32 + 1;
                above = up_to_bin;
                there = counts[(i + 1) / 4][(i + 1) % 4];
            }
        }
        if reached == 0 {
            return Found { bin: 0, wanted: u32::MAX, there: 0 };
        }
        let source = reached.trailing_zeros();
        Found {
            bin: BINS - 1 - LANE_BINS * source - shuffle::shuffle_index(down, source),
            wanted: shuffle::shuffle_index(wanted.wrapping_sub(above), source),
            there: shuffle::shuffle_index(there, source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rank::key, *};

    #[test]
    fn bins_ascend_with_keys_and_know_their_least() {
        let steps = |power: i32| (0..64).map(move |step| (1.0 + step as f32 / 64.0) * 2_f32.powi(power));
        for base in [0.0, 1e-20, 0.001, -1.0] {
            let scale = Scale::fine_from(key(base));
            let mut bins: Vec<_> = (-70..40).flat_map(steps).map(|score| scale.bin(key(score))).collect();
            assert_eq!((bins[0], bins.last()), (0, Some(&(BINS - 1))), "{base}");
            assert!(bins.is_sorted_by_key(|bin| *bin), "{base}");
            bins.dedup();
            assert!(bins.windows(2).all(|pair| pair[1] == pair[0] + 1), "{base}");
            let ends = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY].map(|score| scale.bin(key(score)));
            assert_eq!(ends, [0, 0, BINS - 1]);
        }
        for score in (-56..8).flat_map(steps) {
            let bin = Scale::ALL.bin(key(score));
            assert!(
                (Scale::least_of_all(bin)..Scale::least_of_all(bin + 1)).contains(&key(score)),
                "{score}"
            );
        }
    }
}
