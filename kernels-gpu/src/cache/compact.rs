//! The kernel that moves accepted rows up to consecutive places.

use super::{
    accepted::{Accepted, Moves},
    params::CompactParams,
    sequence::{Sequence, word},
};
use crate::{
    fault::Fault,
    simt::{
        Global, WARP, shuffle,
        thread::{block_x, block_y, thread_index},
    },
};

/// Rows of which a thread has the words of both caches in flight: the accepted rows of a small tree, but for the first, which
/// stays in its place.
const ROWS: usize = 4;

/// Moves the accepted rows of every sequence, in every layer, to the places of its first rows: by blocks of `W` warps.
///
/// A row moves to a place before its own, and the rows behind it to places behind that. So a column whose rows are moved in
/// order, a few of them read before the first of these is written, reads nothing that it has overwritten.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; so does the cache at
/// every address that is a multiple of 16 and not 0. Nobody writes the arrays or accesses the rows' places meanwhile, and no
/// two caches overlap. The grid is `[blocks, batch, 1]`, with a thread for each column of every layer.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn compact<const W: u32>(params: &CompactParams) {
    let step = &params.step;
    let item = block_x() * W * WARP + thread_index();
    let columns = step.columns();
    let (layer, column) = (item / columns, item % columns);
    // The list is read by whole warps, also by lanes without a column.
    let mut caches = [0; 2];
    if layer < params.layers {
        let layer = u64::from(layer);
        // SAFETY: the caller's promise.
        caches = unsafe { [params.key_caches.load(layer), params.value_caches.load(layer)] };
    }
    // SAFETY: the caller's promise. What the launch is told of the sequence is loaded before any of it is looked at.
    let (mut list, sequence) =
        unsafe { (Accepted::of_block(params), Sequence::of_block(step, item == 0, item < WARP)) };
    let serves = is_cache(caches[0]) && is_cache(caches[1]);
    // Of all blocks, those of the first sequence report a layer: also when there is something wrong with the sequence.
    if !serves && layer < params.layers && column == 0 && block_y() == 0 {
        step.report(Fault::Layer, layer);
    }
    let Some(sequence) = sequence else { return };
    list.check_count(params, &sequence);
    let (head, first) = step.head_and_item(column);
    let in_token = head * step.kv_head_stride + first;
    let caches = caches.map(Global::<u16>::at);
    while list.has_more() {
        // SAFETY: the caller's promise.
        unsafe {
            let moves = list.next(params, &sequence);
            perform(&moves, serves, caches, in_token);
        }
    }
}

/// Moves the words of one column, at item `in_token` of each token, if the calling lane `serves` one.
///
/// # Safety
/// The tokens lie in the caches, if the lane serves a column; the column is this thread's alone. All lanes of the warp take
/// part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn perform(moves: &Moves, serves: bool, [key, value]: [Global<u16>; 2], in_token: u64) {
    let mut lanes = moves.lanes;
    while lanes != 0 {
        let mut moved = [false; ROWS];
        let (mut keys, mut values) = ([[0; 4]; ROWS], [[0; 4]; ROWS]);
        let mut rest = lanes;
        for i in 0..ROWS {
            moved[i] = serves && rest != 0;
            let from = of_lowest(moves.from, &mut rest) + in_token;
            if moved[i] {
                // SAFETY: the caller's promise.
                (keys[i], values[i]) = unsafe { (word(key, from).load(0), word(value, from).load(0)) };
            }
        }
        for i in 0..ROWS {
            let to = of_lowest(moves.to, &mut lanes) + in_token;
            if moved[i] {
                // SAFETY: the caller's promise.
                unsafe {
                    word(key, to).store(0, keys[i]);
                    word(value, to).store(0, values[i]);
                }
            }
        }
    }
}

/// The value of the lowest of the `lanes`, which is taken from them. All lanes of the warp take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn of_lowest(value: u64, lanes: &mut u32) -> u64 {
    let source = lanes.trailing_zeros() % WARP;
    *lanes &= lanes.wrapping_sub(1);
    let half = |half: u32| u64::from(shuffle::shuffle_index(half, source));
    half(value as u32) | half((value >> 32) as u32) << 32
}

/// Whether a cache may stand at `address`.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn is_cache(address: u64) -> bool {
    address != 0 && address.is_multiple_of(16)
}
