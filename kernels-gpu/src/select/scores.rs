//! The scores of units, from a map.

use super::{params::Params, sequence::Choice};
use crate::simt::{Global, WARP};

/// Units that a lane looks at together where their scores are a map's own, so that as many loads are in flight. Else,
/// where each takes loads enough, it looks at one unit at a time.
pub(super) const AT_A_TIME: usize = 4;

/// One map's scores of the units of a sequence.
#[derive(Clone, Copy)]
pub(super) struct Scores {
    /// The sequence's part of the map.
    map: Global<f32>,
    length: u32,
    block: u32,
    pooling: u32,
}

impl Scores {
    /// Those of the sequence of `length` positions, at least 1, whose part of `map` starts at `start`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn new(params: &Params, map: Global<f32>, start: u32, length: u32) -> Self {
        let map = Global::at(map.item(u64::from(start)));
        Self { map, length, block: params.block, pooling: params.pooling }
    }

    /// Those by which a choice's units are ranked in `map`: the draft's is 0, the target's 1.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of(params: &Params, choice: &Choice, map: u32) -> Self {
        let map = if map == 0 { params.draft } else { params.target };
        Self::new(params, map, choice.map_start, choice.length)
    }

    /// Whether a unit's score is one item of the map.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn are_items(params: &Params) -> bool {
        params.block == 1 && params.pooling == 1
    }

    /// The scores of `first` and of every 32nd unit behind, `N` in all; those of units behind the sequence's are
    /// unspecified.
    ///
    /// # Safety
    /// The map has an item for each position of the sequence, and nobody writes them during the launch. `N` is
    /// [`AT_A_TIME`] if [scores are items](Self::are_items), else 1.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn load<const N: usize>(&self, first: u32) -> [f32; N] {
        if N == AT_A_TIME {
            // SAFETY: the caller's promise.
            return unsafe { self.items(first, WARP) };
        }
        let mut scores = [0.0; N];
        for i in 0..N {
            // SAFETY: the caller's promise.
            scores[i] = unsafe { self.sum(first + WARP * i as u32) };
        }
        scores
    }

    /// The scores of `first` and of every `step`th unit behind, `N` in all, where [scores are items](Self::are_items); those
    /// of units behind the sequence's are unspecified.
    ///
    /// # Safety
    /// The map has an item for each position of the sequence, and nobody writes them during the launch.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn items<const N: usize>(&self, first: u32, step: u32) -> [f32; N] {
        let mut scores = [0.0; N];
        for i in 0..N {
            let unit = first + step * i as u32;
            // SAFETY: the caller's promise. In place of a unit that is not there the last one is read, so that no branch
            // parts the loads.
            scores[i] = unsafe { self.map.load(u64::from(unit.min(self.length - 1))) };
        }
        scores
    }

    /// The sum over the positions of `unit`, as far as the sequence has them, of averages over the windows around them, with
    /// zeros outside of the sequence.
    ///
    /// # Safety
    /// As [`Scores::load`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn sum(&self, unit: u32) -> f32 {
        let reach = self.pooling / 2;
        let begin = unit * self.block;
        let mut sum = 0.0;
        for position in begin..(begin + self.block).min(self.length) {
            let mut window = 0.0;
            for at in position.saturating_sub(reach)..(position + reach + 1).min(self.length) {
                // SAFETY: the caller's promise.
                window += unsafe { self.map.load(u64::from(at)) };
            }
            sum += window / self.pooling as f32;
        }
        sum
    }
}
