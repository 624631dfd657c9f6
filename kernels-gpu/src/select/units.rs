//! Which units each thread of a team looks at, where scores are items of a map.

use super::{params::Params, sequence::Choice, team::Team};
use crate::simt::{Global, WARP, thread::lane};

/// Units of a group: a word of 16 bytes.
pub(super) const GROUP: u32 = 4;

/// Groups of a line: 128 bytes.
const LINE: u32 = 8;

/// The free units of a sequence in groups that are words of both maps. The few before the first word and behind the last
/// one are its *edges*.
#[derive(Clone, Copy)]
pub(super) struct Groups {
    /// The maps from the first group on: the draft's, the target's.
    maps: [Global<[u32; 4]>; 2],
    /// The first unit of the first group.
    begin: u32,
    /// How many groups there are.
    pub(super) count: u32,
    /// Groups from the beginning of a line to the first one.
    lead: u32,
    free_begin: u32,
    free_end: u32,
}

impl Groups {
    /// Those of a choice by single positions; no group where a word of one map is none of the other.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of(params: &Params, choice: &Choice) -> Self {
        let (free_begin, free_end) = (choice.free_begin, choice.free_end);
        let first = choice.map_start + free_begin;
        let addresses = [params.draft, params.target].map(|map| map.item(u64::from(first)));
        // A map of which nothing is wanted need not be aligned, nor be there.
        let draft = if choice.draft == 0 { addresses[1] } else { addresses[0] };
        let target = if choice.target == 0 { draft } else { addresses[1] };
        let skip = (draft as u32).wrapping_neg() % 16 / 4;
        let begin = (free_begin + skip).min(free_end);
        let alike = (draft ^ target) % 16 == 0;
        let count = if alike { (free_end - begin) / GROUP } else { 0 };
        let word = |address: u64| address + u64::from(4 * skip);
        let lead = (word(target) as u32) % (16 * LINE) / 16;
        let maps = [Global::at(word(draft)), Global::at(word(target))];
        Self { maps, begin, count, lead, free_begin, free_end }
    }

    /// The scores of group `index` in `map`, as bits.
    ///
    /// # Safety
    /// The map is there, with an item for each position of the sequence, which nobody writes during the launch; the index is
    /// below the count.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn load(&self, map: u32, index: u32) -> [u32; 4] {
        let words = if map == 0 { self.maps[0] } else { self.maps[1] };
        // SAFETY: the caller's promise; groups begin where words do.
        unsafe { words.load(u64::from(index)) }
    }

    /// The first unit of group `index`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn unit(&self, index: u32) -> u32 {
        self.begin.wrapping_add(GROUP.wrapping_mul(index))
    }

    /// Groups that a thread of the team looks at, at most.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_each_thread<const CLUSTERED: bool>(&self, team: &Team<CLUSTERED>) -> u32 {
        team.thread_units(self.count + self.lead)
    }

    /// The first group of thread `thread` of the calling block; each further one lies as many groups behind as the team has
    /// threads. It may be none of them, which its being no less than their count tells.
    ///
    /// The blocks take lines in turns, which change from one quarter of a warp to the next and from warp to warp: neither a run
    /// of high scores nor scores that are high at regular distances are one block's alone.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn first_of<const CLUSTERED: bool>(&self, team: &Team<CLUSTERED>, thread: u32) -> u32 {
        let (quarter, warp) = (thread / LINE, thread / WARP);
        let turn = quarter + warp + warp / 4 + warp / 16;
        let line = quarter * team.blocks + ((team.rank + turn) & (team.blocks - 1));
        (line * LINE + thread % LINE).wrapping_sub(self.lead)
    }

    /// The unit on an edge that is the calling lane's, of one warp of the team.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn edge(&self) -> Option<u32> {
        let before = self.begin - self.free_begin;
        let unit =
            if lane() < before { self.free_begin + lane() } else { self.unit(self.count) + lane() - before };
        (lane() < 2 * (GROUP - 1) && unit < self.free_end).then_some(unit)
    }

    /// The score of `unit` in `map`.
    ///
    /// # Safety
    /// As [`Groups::load`]; the unit is a free one.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn score(&self, map: u32, unit: u32) -> f32 {
        let words = if map == 0 { self.maps[0] } else { self.maps[1] };
        let first = words.address().wrapping_sub(4 * u64::from(self.begin));
        // SAFETY: the caller's promise.
        unsafe { Global::<f32>::at(first).load(u64::from(unit)) }
    }
}
