//! The two matrix products of a step: `S = Q·Kᵀ` and `O += P·V`. Lane maps are those of [`crate::simt::mma`].

use super::{shape::Shape, smem::swizzled};
use crate::simt::{
    Element, Shared, ldmatrix,
    thread::{self, lane},
};

/// The warp's queries, a fragment for every 16 items of the head.
pub(super) type Fragments<const K: usize> = [[u32; 4]; K];

/// The address that the lane names to `ldmatrix`, for the first two words of rows from `row` on: rows change fastest from
/// matrix to matrix if `down`, else words. See [`words`] for the others.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn first_words<G: Shape>(rows: u32, row: u32, down: bool) -> u32 {
    // Taken as unknown, what follows is computed where it is needed, and not kept in registers.
    let lane = thread::opaque(lane());
    let (matrix, within) = (lane / 8, lane % 8);
    let (half, word) = if down { (matrix % 2, matrix / 2) } else { (matrix / 2, matrix % 2) };
    rows + swizzled(row + 8 * half + within, word, G::HEAD_DIM)
}

/// The address of the `step`th two words, from that of the [first](first_words): of a line of 128 bytes, words are exchanged
/// by the row's number.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn words(first: u32, step: usize) -> u32 {
    (first ^ (32 * (step % 4) as u32)) + 128 * (step / 4) as u32
}

/// [`first_words`] of the warp's query columns.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn first_query_words<G: Shape>() -> u32 {
    first_words::<G>(Shared::<u32>::at(G::PLAN.query).byte(0), 16 * G::member(), true)
}

/// The warp's queries, where there are registers for them; else zeros, and [`scores`] loads them.
///
/// # Safety
/// The queries lie in shared memory, visible to this warp; all 32 lanes take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn queries<G: Shape, const K: usize>() -> Fragments<K> {
    let mut fragments = [[0; 4]; K];
    if const { G::TILE.holds_queries(G::HEAD_DIM) } {
        let first = first_query_words::<G>();
        for k in 0..K {
            // SAFETY: the caller's promise; the rows are query columns of the block.
            fragments[k] = unsafe { ldmatrix::load_x4(words(first, k)) };
        }
    }
    fragments
}

/// Scores of the warp's query columns against a step's tokens: `scores[n]` is the 16x8 product with the `n`th 8 tokens.
///
/// # Safety
/// As [`queries`], for the step's keys, too.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn scores<E: Element, G: Shape, const K: usize, const H: usize>(
    queries: &Fragments<K>,
    keys: u32,
) -> [[f32; 4]; H] {
    let mut scores = [[0.0; 4]; H];
    let (first_query, first_key) = (first_query_words::<G>(), first_words::<G>(keys, 0, false));
    for k in 0..K {
        let columns = if const { G::TILE.holds_queries(G::HEAD_DIM) } {
            queries[k]
        } else {
            // SAFETY: the caller's promise; the rows are query columns of the block.
            unsafe { ldmatrix::load_x4(words(first_query, k)) }
        };
        for pair in 0..H / 2 {
            let at = words(first_key, k) + 32 * pair as u32 * G::HEAD_DIM;
            // SAFETY: the caller's promise; the rows are tokens of the step.
            let [a, b, c, d] = unsafe { ldmatrix::load_x4(at) };
            E::mma(&mut scores[2 * pair], columns, [a, b]);
            E::mma(&mut scores[2 * pair + 1], columns, [c, d]);
        }
    }
    scores
}

/// Adds a step's values, weighted by its probabilities: `output[n]` is the 16x8 tile of the `n`th 8 items of the head.
///
/// # Safety
/// The step's values lie in shared memory, visible to this warp; all 32 lanes take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn values<E: Element, G: Shape, const H: usize, const D8: usize>(
    output: &mut [[f32; 4]; D8],
    probabilities: &[[u32; 2]; H],
    values: u32,
) {
    let first = first_words::<G>(values, 0, true);
    for pair in 0..H / 2 {
        let ([a, b], [c, d]) = (probabilities[2 * pair], probabilities[2 * pair + 1]);
        let weights = [a, b, c, d];
        for items in 0..D8 / 2 {
            let at = words(first, items) + 32 * pair as u32 * G::HEAD_DIM;
            // SAFETY: the caller's promise; the rows are tokens of the step.
            let [a, b, c, d] = unsafe { ldmatrix::load_x4_transposed(at) };
            E::mma(&mut output[2 * items], weights, [a, b]);
            E::mma(&mut output[2 * items + 1], weights, [c, d]);
        }
    }
}
