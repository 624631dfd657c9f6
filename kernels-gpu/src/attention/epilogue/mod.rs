//! From the teams' sums to the output: reduction over the block, and over the splits of a sequence.
//!
//! The splits of a sequence merge either through the shared memory of their cluster, where the launch has made them one, or through
//! global memory, where the last to arrive merges all.

mod global;
mod piece;
mod shared;
mod target;

use self::{
    piece::{Piece, finish, own_piece},
    shared::are_cluster,
    target::Target,
};
pub(super) use self::{
    shared::{announce, stand_by},
    target::note_columns,
};
use super::{
    gather::busy_members, online::Softmax, params::Params, shape::Shape, task::Task, tokens::in_step,
};
use crate::simt::{Element, Shared, barrier, cluster, thread::lane};

/// Writes the teams' outputs to shared memory, column by column, with their bases and sums; columns of warps that have none of the
/// sequence's stay out. The block meets, before and behind.
///
/// # Safety
/// All threads of the block take part, and every copy into the ring has been waited for.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn gather_block<G: Shape, const D8: usize>(
    task: &Task,
    softmax: &Softmax,
    output: &[[f32; 4]; D8],
) {
    let totals = softmax.totals();
    let column = 16 * G::member() + lane() / 4;
    // The team's last values have been read: its part of the ring holds its outputs from here on.
    super::kernel::team_sync::<G>();
    if G::member() < busy_members::<G>(task) {
        for i in 0..2 {
            let column = column + 8 * i as u32;
            if lane().is_multiple_of(4) {
                let state = u64::from(softmax.bases[i].to_bits()) | u64::from(totals[i].to_bits()) << 32;
                // SAFETY: the region holds an item for each column.
                unsafe { states::<G>(G::team()).store(column, state) };
            }
            let row = Shared::<u64>::at(staged::<G>(G::team(), column));
            for n in 0..D8 {
                let [low, high] =
                    [output[n][2 * i], output[n][2 * i + 1]].map(|item| u64::from(item.to_bits()));
                // SAFETY: the region holds a row for each team and column.
                unsafe { row.store(4 * n as u32 + lane() % 4, low | high << 32) };
            }
        }
    }
    barrier::block_sync();
}

/// The bases and sums of `team`, in place of its tokens.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn states<G: Shape>(team: u32) -> Shared<u64> {
    const {
        assert!(
            G::PLAN.token_steps * G::STEP * 4 >= G::COLUMNS * 8,
            "a team's places make room for its states"
        )
    };
    Shared::at(G::PLAN.places + 4 * in_step::<G>(team, 0))
}

/// Where `team` brings its output of column `column`, in bytes of the block's shared memory.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn staged<G: Shape>(team: u32, column: u32) -> u32 {
    G::PLAN.ring + team * G::PLAN.team + 4 * column * G::PLAN.output_stride
}

/// Pieces that a thread has in its registers at a time.
const TOGETHER: usize = 2;

/// Writes the block's outputs: finished where the sequence is one split, else merged with those of the other splits.
///
/// # Safety
/// [`note_columns`], [`announce`] and [`gather_block`] have run; the arrays that the parameters name are as documented; all threads
/// take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn write<E: Element, G: Shape>(params: &Params, task: &Task) {
    let pieces = const { (G::COLUMNS * G::WORDS).div_ceil(G::THREADS) as usize };
    if are_cluster::<G>() {
        cluster::wait();
    }
    let mut first = 0;
    while first < pieces {
        let mut own = [Piece::NOTHING; TOGETHER];
        // Several pieces, so that their loads are under way together.
        for i in 0..TOGETHER {
            // SAFETY: the caller's promise.
            unsafe {
                let target = Target::of::<G>(first + i);
                if first + i < pieces && target.is_somewhere() {
                    own[i] = own_piece::<G>(&target);
                }
            }
        }
        for i in 0..TOGETHER {
            // SAFETY: the caller's promise. Targets are looked up again, not kept in registers meanwhile.
            unsafe {
                let target = Target::of::<G>(first + i);
                if first + i < pieces && target.is_somewhere() {
                    if are_cluster::<G>() {
                        shared::send::<G>(task, &target, &own[i]);
                    } else if task.splits > 1 {
                        global::store::<G>(params, task, &target, &own[i]);
                    } else {
                        finish::<E, G>(params, &target, &own[i]);
                    }
                }
            }
        }
        first += TOGETHER;
    }
    let merges = if are_cluster::<G>() {
        cluster::sync();
        true
    } else {
        // SAFETY: the caller's promise.
        task.splits > 1 && unsafe { global::is_last::<G>(params, task) }
    };
    if merges {
        for i in 0..pieces {
            // SAFETY: as above. All splits' pieces have been written before: the cluster has met, or the last split has arrived.
            unsafe {
                let target = Target::of::<G>(i);
                if !target.is_somewhere() {
                    continue;
                }
                if !are_cluster::<G>() {
                    finish::<E, G>(params, &target, &global::merge::<G>(params, task, &target));
                } else if shared::owner(task, &target) == task.split {
                    finish::<E, G>(params, &target, &shared::merge::<G>(task, &target));
                }
            }
        }
    }
}
