//! Writing the sets.

use super::{
    params::Params,
    radix::Chosen,
    scan,
    sequence::{Choice, Sequence},
    team::Team,
};
use crate::{
    fault::Fault,
    simt::{
        WARP, redux, shuffle,
        thread::{self, lane},
        vote,
    },
};

/// Units whose masks the lanes of a warp keep together.
const SPAN: u32 = WARP * WARP;

/// Writes the set of a sequence.
pub(super) struct Output<'a> {
    pub(super) params: &'a Params,
    pub(super) sequence: &'a Sequence,
}

impl Output<'_> {
    /// Writes the set's size, in one thread.
    ///
    /// # Safety
    /// The arrays of the parameters are as documented.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn size(&self, size: i32) {
        // SAFETY: there is an item for each sequence, which one thread writes.
        unsafe { self.params.set_sizes.store(u64::from(self.sequence.index), size) };
    }

    /// Writes `position` as item `place` of the set.
    ///
    /// # Safety
    /// As [`Output::size`]; the place lies in the set, and no other thread writes it.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn position(&self, place: u32, position: u32) {
        let item = u64::from(self.sequence.index) * self.params.set_stride + u64::from(place);
        // SAFETY: the caller's promise.
        unsafe {
            self.params.set.store(item, position.cast_signed());
            if !self.params.physical.is_null() {
                self.params.physical.store(item, self.slot(position));
            }
        }
    }

    /// The physical slot of `position`; -1, and a report, where it has none.
    ///
    /// # Safety
    /// As [`Output::size`]; there is a block table.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn slot(&self, position: u32) -> i32 {
        let (index, shift) = (position >> self.params.page_shift, self.params.page_shift);
        if index >= self.params.table_width {
            self.sequence.report(Fault::Length);
            return -1;
        }
        let entry = u64::from(self.sequence.index) * self.params.table_stride + u64::from(index);
        // SAFETY: the page's index is below the width of the table.
        let page = unsafe { self.params.block_table.load(entry) }.cast_unsigned();
        if page >= self.params.pages {
            self.sequence.report(Fault::Page);
            return -1;
        }
        ((page << shift) + (position - (index << shift))).cast_signed()
    }

    /// Writes all of the sequence's `length` positions.
    ///
    /// # Safety
    /// As [`Output::size`]; the set has room for them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn all<const CLUSTERED: bool>(&self, team: &Team<CLUSTERED>, length: u32) {
        let mut position = team.thread();
        while position < length {
            // SAFETY: the caller's promise; each position is one thread's.
            unsafe { self.position(position, position) };
            position += team.blocks * team.block_threads();
        }
        if team.thread() == 0 {
            // SAFETY: the caller's promise.
            unsafe { self.size(length.cast_signed()) };
        }
    }

    /// Writes the positions of the forced units and of those that are chosen.
    ///
    /// # Safety
    /// As [`Output::size`]; the set has room for them. All threads of the team take part, having met once at least.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn chosen<const CLUSTERED: bool, const N: usize>(
        &self,
        team: &Team<CLUSTERED>,
        choice: &Choice,
        chosen: &[Chosen; 2],
    ) {
        let [begin, end] = team.share(choice.units);
        let (mut mask, mut count, mut place) = (0, 0, 0);
        // Once to count, once to write: one copy of the code serves both.
        for pass in 0..thread::opaque(2) {
            let mut base = begin;
            while base < end {
                // Of a warp's only span the masks are still there.
                if pass == 0 || end - begin > SPAN {
                    // SAFETY: the caller's promise.
                    mask = unsafe { masks::<N>(choice, chosen, base, end) };
                }
                if pass == 0 {
                    count += positions(choice, base, mask);
                } else {
                    // SAFETY: the caller's promise; what is taken before has the places before.
                    unsafe { self.span(choice, base, mask, place) };
                    place += redux::reduce_add(mask.count_ones()) * choice.block;
                }
                base += SPAN;
            }
            if pass == 0 {
                count = redux::reduce_add(count);
                // SAFETY: the caller's promise.
                place = unsafe { scan::sum_of_warps_below(team, count) };
                if team.warp() + 1 == team.all_warps() && lane() == 0 {
                    // SAFETY: the caller's promise; one warp is the last.
                    unsafe { self.size((place + count).cast_signed()) };
                }
            }
        }
    }

    /// Writes the positions of a span's units, those of [`masks`], from place `place` of the set.
    ///
    /// # Safety
    /// As [`Output::chosen`]; the places are the calling warp's, of which all lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn span(&self, choice: &Choice, base: u32, mask: u32, place: u32) {
        let block = choice.block;
        let mut place = place;
        let mut sources = vote::ballot(mask != 0);
        while sources != 0 {
            let source = sources.trailing_zeros();
            sources &= sources - 1;
            let mask = shuffle::shuffle_index(mask, source);
            if mask >> lane() & 1 != 0 {
                let below = mask & ((1 << lane()) - 1);
                let own = place + below.count_ones() * block;
                let first = (base + WARP * source + lane()) * block;
                for offset in 0..block.min(choice.length - first) {
                    // SAFETY: the caller's promise.
                    unsafe { self.position(own + offset, first + offset) };
                }
            }
            place += mask.count_ones() * block;
        }
    }
}

/// Positions of the units of the calling lane's `mask`, in the span from `base`.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn positions(choice: &Choice, base: u32, mask: u32) -> u32 {
    let last = choice.units - 1 - base;
    let has_last = last / WARP == lane() && mask >> (last % WARP) & 1 != 0;
    // The last unit may be of fewer positions.
    mask.count_ones() * choice.block - if has_last { choice.units * choice.block - choice.length } else { 0 }
}

/// Which units of `base .. end`, up to [`SPAN`] of them, are taken: those from `base + 32 · lane`, a bit each.
///
/// # Safety
/// As [`Chosen::hold`]. All lanes of the warp take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn masks<const N: usize>(choice: &Choice, chosen: &[Chosen; 2], base: u32, end: u32) -> u32 {
    let end = end.min(base + SPAN);
    let mut mine = 0;
    let mut offset = 0;
    while base + offset < end {
        let first = base + offset + lane();
        let mut taken = [false; N];
        for map in choice.maps() {
            let chosen = if map == 0 { chosen[0] } else { chosen[1] };
            // SAFETY: the caller's promise.
            let hold = unsafe { chosen.hold::<N>(first) };
            for i in 0..N {
                taken[i] |= hold[i];
            }
        }
        for i in 0..N {
            let unit = first + WARP * i as u32;
            let mask = vote::ballot(unit < end && (choice.forces(unit) || taken[i]));
            if lane() == offset / WARP + i as u32 {
                mine = mask;
            }
        }
        offset += WARP * N as u32;
    }
    mine
}
