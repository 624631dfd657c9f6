//! Selection of units whose scores a lane keeps in registers: each map is read once.

use super::{
    histogram::Histogram,
    output::Output,
    radix::{Digit, Prefix},
    rank::key,
    scores::Scores,
    sequence::Choice,
    team::Team,
};
use crate::simt::{
    WARP,
    thread::{self, lane},
};

/// Units of a map that a lane keeps at most: in the 64 registers of a thread, one map's leave room.
pub(super) const MANY: usize = 16;

/// Units of which a lane keeps both maps' scores.
pub(super) const FEW: usize = 8;

/// Selects the best units of each map, and writes the set.
///
/// # Safety
/// As [`select`](super::kernel::select); the team has met behind [`Histogram::new`]. Units are single positions, whose
/// scores are items, and a warp has up to `K` of them for each lane.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn best<const CLUSTERED: bool, const K: usize>(
    team: &Team<CLUSTERED>,
    histogram: &mut Histogram<'_, CLUSTERED>,
    output: &Output<'_>,
    choice: &Choice,
) {
    let params = output.params;
    let [begin, end] = team.share(choice.units);
    let first = begin + lane();
    let load = |map: u32| {
        let (map, count) =
            if map == 0 { (params.draft, choice.draft) } else { (params.target, choice.target) };
        if count == 0 {
            return [0.0; K];
        }
        let scores = Scores::new(params, map, choice.map_start, choice.length);
        // Taken as unknown, the numbers of the units are not kept in registers of their own for later use.
        // SAFETY: the caller's promise; the map is there, as something is wanted of it.
        unsafe { scores.items::<K>(thread::opaque(first)) }
    };
    // Few fit twice into the registers: then all loads are in flight together.
    let both = if K <= FEW { [load(0), load(1)] } else { [[0.0; K]; 2] };

    let (mut taken, mut free) = (0, 0);
    for i in 0..K {
        let unit = first + WARP * i as u32;
        let forced = choice.forces(unit);
        taken |= u32::from(unit < end && forced) << i;
        free |= u32::from(unit < end && !forced) << i;
    }
    // One copy of the passes serves both maps: a kernel this short waits for its instructions, too.
    for map in choice.maps() {
        let scores = match map {
            _ if K > FEW => load(map),
            0 => both[0],
            _ => both[1],
        };
        let count = if map == 0 { choice.draft } else { choice.target };
        // SAFETY: the caller's promise.
        taken |= unsafe { best_of(histogram, choice.units, first, scores.map(key), free & !taken, count) };
    }
    // SAFETY: the caller's promise; a set's units are as many as the budget has room for.
    unsafe { output.kept::<CLUSTERED, K>(team, first, taken) };
}

/// The `count` best of the team's units, a bit each: of those whose bits are set in `live`, of which there are more.
///
/// # Safety
/// All threads of the team take part, having met behind [`Histogram::new`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn best_of<const CLUSTERED: bool, const K: usize>(
    histogram: &mut Histogram<'_, CLUSTERED>,
    units: u32,
    first: u32,
    keys: [u32; K],
    live: u32,
    count: u32,
) -> u32 {
    let (mut live, mut wanted, mut best) = (live, count, 0);
    let mut halves = keys;
    let mut prefix = Prefix::EMPTY;
    loop {
        let digit = prefix.next_digit();
        if !digit.high {
            // As above.
            let first = thread::opaque(first);
            for i in 0..K {
                halves[i] = !(first + WARP * i as u32);
            }
        }
        for i in 0..K {
            if live >> i & 1 != 0 {
                // SAFETY: a digit is one of the bins; the caller's promise, or the last `find`.
                unsafe { histogram.count(digit.of_half(halves[i])) };
            }
        }
        let found = histogram.find(wanted);
        // Nor are the digits kept beside what they are cut from.
        let again = Digit { shift: thread::opaque(digit.shift), ..digit };
        let (mut above, mut equal) = (0, 0);
        for i in 0..K {
            let its = again.of_half(halves[i]);
            above |= u32::from(its > found.digit) << i;
            equal |= u32::from(its == found.digit) << i;
        }
        best |= live & above;
        live &= equal;
        wanted = found.wanted;
        prefix.append(&digit, found.digit, units);
        // With all bits known it is one unit, which is wanted. The loop ends even if a map that somebody writes meanwhile
        // gives none.
        if found.there == wanted || prefix.open == 0 {
            return best | live;
        }
    }
}
