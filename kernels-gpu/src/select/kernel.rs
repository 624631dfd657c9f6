//! The kernel's body.

use super::{
    candidates,
    histogram::Histogram,
    leader,
    output::Output,
    params::{EVERYTHING, Params},
    radix::{self, Chosen, Left},
    scores::{AT_A_TIME, Scores},
    sequence::{Choice, Rule, Sequence},
    strands::STRANDS,
    team::Team,
    units::Groups,
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
    // SAFETY: the caller's promise. These loads return while the bins are zeroed.
    let sequence = unsafe { Sequence::of_block(params) };
    team.plan.clear(team.block_threads());
    let output = Output { params, sequence: &sequence };
    let (rule, fault) = sequence.rule(params);
    if let Some(fault) = fault
        && team.thread() == 0
    {
        sequence.report(fault);
    }
    // Asked for first: it is what takes time.
    if let Rule::Best(free) = rule {
        // SAFETY: the caller's promise.
        unsafe {
            if !Scores::are_items(params) {
                team.wait();
                best::<CLUSTERED, 1>(&team, &output, Choice::new(params, free, params.block));
                return;
            }
            // A unit being known to be one position takes divisions off the way to the scores. The length being taken as
            // unknown, nothing of it is computed for all paths ahead of where they part.
            let choice = Choice::new(params, free.opaque(), 1);
            if !best_of_candidates(&team, &output, &choice) {
                best::<CLUSTERED, AT_A_TIME>(&team, &output, choice);
            }
        }
        return;
    }
    // Who ends without having waited counts as arrived.
    // SAFETY: the caller's promise.
    unsafe {
        match rule {
            // The length is at most the budget.
            Rule::All(length) => output.all(&team, length),
            _ if team.thread() != 0 => {}
            Rule::Everything => output.size(EVERYTHING),
            _ => output.size(0),
        }
    }
}

/// Selects the best units of each map among candidates and writes the set, or returns that they must be found otherwise: the
/// same in all threads of the team, which has met then.
///
/// # Safety
/// As [`select`]; the team's blocks have announced themselves and cleared what is counted in. Units are single positions,
/// whose scores are items of the maps.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn best_of_candidates<const CLUSTERED: bool>(
    team: &Team<CLUSTERED>,
    output: &Output<'_>,
    choice: &Choice,
) -> bool {
    let groups = Groups::of(output.params, choice);
    if !candidates::are_worth_it(team, choice, &groups) {
        team.wait();
        return false;
    }
    // SAFETY: the caller's promise.
    unsafe {
        match groups.of_each_thread(team) {
            0..=2 => candidates::gather::<CLUSTERED, 2>(team, choice, &groups),
            3..=4 => candidates::gather::<CLUSTERED, 4>(team, choice, &groups),
            _ => candidates::gather::<CLUSTERED, STRANDS>(team, choice, &groups),
        }
        if team.rank == 0 { leader::choose(team, output, choice) } else { leader::has_chosen(team) }
    }
}

/// Selects the best units of each map, reading scores as often as it needs them, and writes the set.
///
/// # Safety
/// As [`select`]; the team has met, and nobody uses its candidates any more. `N` is as [`Scores::load`] says.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn best<const CLUSTERED: bool, const N: usize>(
    team: &Team<CLUSTERED>,
    output: &Output<'_>,
    choice: Choice,
) {
    let mut histogram = Histogram::new(team);
    team.sync();
    let scores = |map| Scores::of(output.params, &choice, map);
    let mut chosen = [Chosen::none(scores(0)), Chosen::none(scores(1))];
    // One copy of the passes serves both maps: a kernel this short waits for its instructions, too.
    for map in choice.maps() {
        let scores = scores(map);
        let left = Left::<N>::of_warp(team, &choice, scores, &chosen[0]);
        // SAFETY: the caller's promise; the map is there, as something is wanted of it.
        let best = Chosen::from(scores, unsafe {
            radix::threshold(&mut histogram, &left, choice.units, choice.count(map))
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
