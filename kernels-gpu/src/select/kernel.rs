//! The kernel's body.

use super::{
    candidates::{self, FEW, MANY},
    histogram::Histogram,
    leader,
    output::Output,
    params::{EVERYTHING, Params},
    radix::{self, Chosen, Left},
    scores::{AT_A_TIME, Scores},
    sequence::{Choice, Free, Rule, Sequence},
    team::Team,
};

/// Selects the verification set of one sequence: a block of `W` warps, or a cluster of them where `CLUSTERED`.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended, and nobody writes
/// the maps meanwhile. The grid is `[blocks, batch, 1]`, where `blocks` is 1, or the size of the clusters, a power of two up
/// to [`MAX_BLOCKS`](super::smem::MAX_BLOCKS); the block has the shared memory that [`Plan`](super::smem::Plan) says.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn select<const W: u32, const CLUSTERED: bool>(params: &Params) {
    let team = Team::<CLUSTERED>::of_block(W);
    team.announce();
    // SAFETY: the caller's promise. These loads return while the histograms are zeroed.
    let sequence = unsafe { Sequence::of_block(params) };
    let mut histogram = Histogram::new(&team);
    let output = Output { params, sequence: &sequence };
    let (rule, fault) = sequence.rule(params);
    if let Some(fault) = fault
        && team.thread() == 0
    {
        sequence.report(fault);
    }
    match rule {
        // Who ends without having waited counts as arrived.
        Rule::Nothing => {
            if team.thread() == 0 {
                // SAFETY: the caller's promise.
                unsafe { output.size(0) };
            }
        }
        Rule::Everything => {
            if team.thread() == 0 {
                // SAFETY: the caller's promise.
                unsafe { output.size(EVERYTHING) };
            }
        }
        // SAFETY: the caller's promise; the length is at most the budget.
        Rule::All(length) => unsafe { output.all(&team, length) },
        // SAFETY: the caller's promise.
        Rule::Best(free) => unsafe {
            if Scores::are_items(params) {
                best_items(&team, &mut histogram, &output, free);
            } else {
                team.wait();
                team.sync();
                best::<CLUSTERED, 1>(&team, &mut histogram, &output, Choice::new(params, free, params.block));
            }
        },
    }
}

/// Selects the best units of each map, where their scores are items, and writes the set.
///
/// # Safety
/// As [`select`]; the team's blocks have announced themselves and zeroed their histograms.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn best_items<const CLUSTERED: bool>(
    team: &Team<CLUSTERED>,
    histogram: &mut Histogram<'_, CLUSTERED>,
    output: &Output<'_>,
    free: Free,
) {
    let params = output.params;
    // A unit being known to be one position takes divisions off the way to the first pass.
    // The length being taken as unknown, nothing of it is computed for all paths ahead of where they part.
    let choice = Choice::new(params, free.opaque(), 1);
    // SAFETY: the caller's promise.
    let gathered = unsafe {
        if !candidates::are_worth_it(team, params, &choice) {
            team.wait();
            team.sync();
            false
        } else if team.thread_units(choice.units) <= FEW as u32 {
            candidates::gather::<CLUSTERED, FEW>(team, params, &choice)
        } else {
            candidates::gather::<CLUSTERED, MANY>(team, params, &choice)
        }
    };
    if !gathered {
        // SAFETY: the caller's promise.
        unsafe { best::<CLUSTERED, AT_A_TIME>(team, histogram, output, choice) };
    } else if team.rank == 0 {
        // SAFETY: the caller's promise; the candidates found room.
        unsafe { leader::choose(team, output, &choice) };
    }
}

/// Selects the best units of each map, reading scores as often as it needs them, and writes the set.
///
/// # Safety
/// As [`select`]; the team has met behind [`Histogram::new`]. `N` is as [`Scores::load`] says.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn best<const CLUSTERED: bool, const N: usize>(
    team: &Team<CLUSTERED>,
    histogram: &mut Histogram<'_, CLUSTERED>,
    output: &Output<'_>,
    choice: Choice,
) {
    let scores = |map| Scores::of(output.params, &choice, map);
    let mut chosen = [Chosen::none(scores(0)), Chosen::none(scores(1))];
    // One copy of the passes serves both maps: a kernel this short waits for its instructions, too.
    for map in choice.maps() {
        let scores = scores(map);
        let left = Left::<N>::of_warp(team, &choice, scores, &chosen[0]);
        // SAFETY: the caller's promise; the map is there, as something is wanted of it.
        let best = Chosen::from(scores, unsafe {
            radix::threshold(histogram, &left, choice.units, choice.count(map))
        });
        if map == 0 {
            chosen[0] = best;
        } else {
            chosen[1] = best;
        }
    }
    // SAFETY: the caller's promise; a set's units are as many as the budget has room for.
    unsafe { output.chosen::<CLUSTERED, N>(team, &choice, &chosen) };
}
