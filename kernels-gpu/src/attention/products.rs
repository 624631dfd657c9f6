//! The two matrix products of a step: `S = Q·Kᵀ` and `O += P·V`. Lane maps are those of [`crate::simt::mma`].

use super::{
    shape::Shape,
    smem::{PANEL, swizzled},
};
use crate::simt::{
    Element, Shared, Wgmma, WgmmaShared, ldmatrix,
    thread::{self, lane},
    wgmma::Matrix,
};

/// How a team multiplies. `K` is the head's size divided by 16, `D8` divided by 8, `H` a step's tokens divided by 8.
pub(super) trait Products<E: Element, G: Shape, const K: usize, const H: usize, const D8: usize> {
    /// Scores of the warp's query columns against a step's tokens: `scores[n]` is the 16x8 product with the `n`th 8 tokens.
    ///
    /// # Safety
    /// The step's keys lie in shared memory, and the queries where [`queries`] has not loaded them, visible to this warp; all
    /// lanes of the team take part.
    unsafe fn scores(queries: &Fragments<K>, keys: u32) -> [[f32; 4]; H];

    /// Adds a step's values, weighted by its probabilities: `output[n]` is the 16x8 tile of the `n`th 8 items of the head.
    ///
    /// # Safety
    /// The step's values lie in shared memory, visible to this warp; all lanes of the team take part.
    unsafe fn values(output: &mut [[f32; 4]; D8], probabilities: &[[u32; 2]; H], values: u32);
}

/// Each warp for itself, by `mma`, whatever its teammates load too.
pub(super) struct ByWarp;

/// The team as a warpgroup, or two, by `wgmma`, with steps of `16 · N` tokens.
pub(super) struct ByGroup<const N: usize>;

/// The warp's queries, a fragment for every 16 items of the head.
pub(super) type Fragments<const K: usize> = [[u32; 4]; K];

/// The address that the lane names to `ldmatrix`, for the first two words of rows from `row` on: rows change fastest from
/// matrix to matrix if `down`, else words. See [`words`] for the others.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn first_words(rows: u32, row: u32, down: bool) -> u32 {
    // Taken as unknown, what follows is computed where it is needed, and not kept in registers.
    let lane = thread::opaque(lane());
    let (matrix, within) = (lane / 8, lane % 8);
    let (half, word) = if down { (matrix % 2, matrix / 2) } else { (matrix / 2, matrix % 2) };
    rows + swizzled(row + 8 * half + within, word, 0)
}

/// The address of the `step`th two words of one of `rows` rows, from that of the [first](first_words): four times two in a panel, in
/// which words are exchanged by the row's number.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn words(first: u32, step: usize, rows: u32) -> u32 {
    (first ^ (32 * (step % 4) as u32)) + PANEL * rows * (step / 4) as u32
}

/// [`first_words`] of the warp's query columns.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn first_query_words<G: Shape>() -> u32 {
    first_words(Shared::<u32>::at(G::PLAN.query).byte(0), 16 * G::member(), true)
}

/// The warp's queries, where there are registers for them; else zeros, and [`Products::scores`] loads them.
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
            fragments[k] = unsafe { ldmatrix::load_x4(words(first, k, G::COLUMNS)) };
        }
    }
    fragments
}

impl<E: Element, G: Shape, const K: usize, const H: usize, const D8: usize> Products<E, G, K, H, D8>
    for ByWarp
{
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn scores(queries: &Fragments<K>, keys: u32) -> [[f32; 4]; H] {
        let mut scores = [[0.0; 4]; H];
        let (first_query, first_key) = (first_query_words::<G>(), first_words(keys, 0, false));
        for k in 0..K {
            let columns = if const { G::TILE.holds_queries(G::HEAD_DIM) } {
                queries[k]
            } else {
                // SAFETY: the caller's promise; the rows are query columns of the block.
                unsafe { ldmatrix::load_x4(words(first_query, k, G::COLUMNS)) }
            };
            for pair in 0..H / 2 {
                let at = words(first_key, k, G::STEP) + 16 * PANEL * pair as u32;
                // SAFETY: the caller's promise; the rows are tokens of the step.
                let [a, b, c, d] = unsafe { ldmatrix::load_x4(at) };
                E::mma(&mut scores[2 * pair], columns, [a, b]);
                E::mma(&mut scores[2 * pair + 1], columns, [c, d]);
            }
        }
        scores
    }

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn values(output: &mut [[f32; 4]; D8], probabilities: &[[u32; 2]; H], values: u32) {
        let first = first_words(values, 0, true);
        for pair in 0..H / 2 {
            let ([a, b], [c, d]) = (probabilities[2 * pair], probabilities[2 * pair + 1]);
            let weights = [a, b, c, d];
            for items in 0..D8 / 2 {
                let at = words(first, items, G::STEP) + 16 * PANEL * pair as u32;
                // SAFETY: the caller's promise; the rows are tokens of the step.
                let [a, b, c, d] = unsafe { ldmatrix::load_x4_transposed(at) };
                E::mma(&mut output[2 * items], weights, [a, b]);
                E::mma(&mut output[2 * items + 1], weights, [c, d]);
            }
        }
    }
}

impl<E, G: Shape, const K: usize, const H: usize, const D8: usize, const N: usize> Products<E, G, K, H, D8>
    for ByGroup<N>
where
    E: WgmmaShared<H, K> + Wgmma<D8, N>,
{
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn scores(_: &Fragments<K>, keys: u32) -> [[f32; 4]; H] {
        let groups = Shared::<u32>::at(G::PLAN.query);
        // Each warpgroup has 64 of the queries' rows.
        let queries = groups.byte(if G::TILE.columns > 4 { G::member() / 4 * 64 * PANEL } else { 0 });
        let mut scores = [[0.0; 4]; H];
        let mut left = [Matrix::new(queries, 0, 8 * PANEL); K];
        let mut right = [Matrix::new(keys, 0, 8 * PANEL); K];
        for k in 0..K {
            let (panel, words) = (PANEL * (k / 4) as u32, 32 * (k % 4) as u32);
            left[k] = left[k].behind(panel * G::COLUMNS + words);
            right[k] = right[k].behind(panel * G::STEP + words);
        }
        // SAFETY: the caller's promise; the rows are the block's query columns and the step's tokens.
        unsafe { E::multiply_shared(&mut scores, &left, &right) };
        scores
    }

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn values(output: &mut [[f32; 4]; D8], probabilities: &[[u32; 2]; H], values: u32) {
        let mut weights = [[0; 4]; N];
        let mut operand = [Matrix::new(values, PANEL * G::STEP, 8 * PANEL); N];
        for n in 0..N {
            let ([a, b], [c, d]) = (probabilities[2 * n], probabilities[2 * n + 1]);
            weights[n] = [a, b, c, d];
            operand[n] = operand[n].behind(16 * PANEL * n as u32);
        }
        // SAFETY: the caller's promise; the rows are the step's tokens, over which the product sums.
        unsafe { E::multiply(output, &weights, &operand) };
    }
}
