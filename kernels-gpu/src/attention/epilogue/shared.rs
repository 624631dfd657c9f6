//! Splits that merge through shared memory: they are the blocks of a cluster, and each piece has an owner among them, to which all
//! send theirs.

use super::{
    super::{shape::Shape, task::Task},
    piece::{HALF, Piece},
    target::Target,
};
use crate::simt::{Shared, cluster};

/// Whether a sequence's splits are the blocks of a cluster; the same in all of them.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn are_cluster<G: Shape>() -> bool {
    G::TILE.clusters(G::HEAD_DIM) && cluster::size() > 1
}

/// Tells the cluster, if there is one, that the block has started, so that others may write to its shared memory. [`write`](super::write)
/// waits for that, as does [`stand_by`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(in super::super) fn announce<G: Shape>() {
    if are_cluster::<G>() {
        cluster::arrive_releasing(false);
    }
}

/// What a block that has nothing to write does in place of [`write`](super::write): it meets the cluster as often.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(in super::super) fn stand_by<G: Shape>() {
    if are_cluster::<G>() {
        cluster::wait();
        cluster::sync();
    }
}

/// The split that merges the column of `target`. They take turns.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn owner(task: &Task, target: &Target) -> u32 {
    target.local % task.splits
}

/// The place that the owner has for the piece of split `split`.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn place(task: &Task, target: &Target, split: u32) -> u32 {
    target.local / task.splits * task.splits + split
}

/// The bases and sums that a block has been sent.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn states<G: Shape>() -> Shared<u64> {
    Shared::at(G::PLAN.exchange + G::PLAN.exchanged * G::HEAD_DIM * 4)
}

/// The items that a block has been sent, in words of 16 bytes.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn items<G: Shape>() -> Shared<[u32; HALF]> {
    Shared::at(G::PLAN.exchange)
}

/// Index of the word of half `half` of the target's piece in place `place`.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn word<G: Shape>(target: &Target, place: u32, half: u32) -> u32 {
    (place * G::HEAD_DIM + target.item + half * G::HEAD_DIM / 2) / HALF as u32
}

/// Sends a piece of the split to its owner.
///
/// # Safety
/// The owner has [announced](announce) itself, and does not end before the cluster has met behind the call.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn send<G: Shape>(task: &Task, target: &Target, piece: &Piece) {
    let (owner, place) = (owner(task, target), place(task, target, task.split));
    // SAFETY: the caller's promise; the regions have a place for each split of each column that the block owns.
    unsafe {
        if target.item == 0 {
            let state = u64::from(piece.maximum.to_bits()) | u64::from(piece.sum.to_bits()) << 32;
            states::<G>().of_block(owner).store(place, state);
        }
        for half in 0..2 {
            let to = items::<G>().of_block(owner);
            to.store(word::<G>(target, place, half), piece.items[half as usize].map(f32::to_bits));
        }
    }
}

/// A piece of all splits, merged in their order, by its owner.
///
/// # Safety
/// The cluster has met since all splits have sent theirs.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn merge<G: Shape>(task: &Task, target: &Target) -> Piece {
    let mut merged = Piece::NOTHING;
    for split in 0..task.splits {
        let place = place(task, target, split);
        // SAFETY: the caller's promise; the regions have a place for each split of each column that the block owns.
        let (state, items) = unsafe {
            (states::<G>().load(place), [0, 1].map(|half| items::<G>().load(word::<G>(target, place, half))))
        };
        merged.absorb(f32::from_bits(state as u32), f32::from_bits((state >> 32) as u32), items);
    }
    merged
}
