//! The two matrix products of a tile: `S = K·Qᵀ` and `Oᵀ += Vᵀ·P`. Lane maps are those of [`crate::simt::mma`].

use super::{shape::Shape, smem::swizzled};
use crate::simt::{
    Element, Shared, ldmatrix,
    thread::{lane, warp},
};

/// The `i`th token group of a tile that the calling warp scores. Warps take turns, so that a short tile keeps all busy.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn token_group<G: Shape>(i: usize) -> u32 {
    warp() + i as u32 * G::TILE.warps
}

/// Scores of the warp's token groups against all query columns: `scores[i][n]` is the 16x8 product of
/// [`token_group`] `i` and column group `n`. Groups at or beyond `groups` are left at zero.
///
/// # Safety
/// Keys and queries lie in shared memory, copied and visible to this warp; all 32 lanes take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn scores<E: Element, G: Shape, const M: usize, const C: usize>(
    keys: u32,
    groups: u32,
) -> [[[f32; 4]; C]; M] {
    let mut scores = [[[0.0; 4]; C]; M];
    let (matrix, row) = (lane() / 8, lane() % 8);
    let query = Shared::<u32>::at(G::PLAN.query);
    // One load covers 32 items of the head for a column group: two steps of 16.
    for pair in 0..G::HEAD_DIM / 32 {
        let mut columns = [[0; 4]; C];
        for (n, fragment) in columns.iter_mut().enumerate() {
            let address = query.byte(swizzled(n as u32 * 8 + row, pair * 4 + matrix, G::HEAD_DIM));
            // SAFETY: the caller's promise; the row is one of the block's query columns.
            *fragment = unsafe { ldmatrix::load_x4(address) };
        }
        for (i, tile) in scores.iter_mut().enumerate() {
            let group = token_group::<G>(i);
            if group >= groups {
                continue;
            }
            let token = group * 16 + matrix % 2 * 8 + row;
            for step in 0..2 {
                let word = pair * 4 + step * 2 + matrix / 2;
                // SAFETY: the caller's promise; the row is one of the tile's tokens.
                let tokens = unsafe { ldmatrix::load_x4(keys + swizzled(token, word, G::HEAD_DIM)) };
                for (accumulator, fragment) in tile.iter_mut().zip(&columns) {
                    let step = 2 * step as usize;
                    E::mma(accumulator, tokens, [fragment[step], fragment[step + 1]]);
                }
            }
        }
    }
    scores
}

/// Adds the values of a tile, weighted by its probabilities: `output[d][n]` is the 16x8 tile of the warp's `d`th 16
/// items of the head and column group `n`. Warps that share those items take turns over the token groups.
///
/// # Safety
/// Values and probabilities of `groups` token groups lie in shared memory, visible to this warp; all 32 lanes take
/// part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn values<E: Element, G: Shape, const C: usize, const DT: usize>(
    output: &mut [[[f32; 4]; C]; DT],
    values: u32,
    groups: u32,
) {
    let (matrix, row) = (lane() / 8, lane() % 8);
    let dim_warps = const { G::TILE.dim_warps(G::HEAD_DIM) };
    let token_warps = const { G::TILE.token_warps(G::HEAD_DIM) };
    let first_word = warp() % dim_warps * DT as u32 * 2;
    let probabilities = Shared::<u32>::at(G::PLAN.probabilities);

    let mut group = warp() / dim_warps;
    while group < groups {
        let token = group * 16 + matrix % 2 * 8 + row;
        let mut columns = [[0; 2]; C];
        for n in (0..C).step_by(2) {
            let word = n as u32 + if n + 1 < C { matrix / 2 } else { 0 };
            let address = probabilities.byte(token * G::PLAN.probability_stride * 2 + word * 16);
            // SAFETY: the caller's promise; the word is one of the token's column groups.
            unsafe {
                if n + 1 < C {
                    let [a, b, c, d] = ldmatrix::load_x4_transposed(address);
                    columns[n] = [a, b];
                    columns[n + 1] = [c, d];
                } else {
                    columns[n] = ldmatrix::load_x2_transposed(address);
                }
            }
        }
        let token = group * 16 + matrix / 2 * 8 + row;
        for (d, tile) in output.iter_mut().enumerate() {
            let word = first_word + 2 * d as u32 + matrix % 2;
            // SAFETY: the caller's promise; the row is one of the tile's tokens.
            let items = unsafe { ldmatrix::load_x4_transposed(values + swizzled(token, word, G::HEAD_DIM)) };
            for (accumulator, &fragment) in tile.iter_mut().zip(&columns) {
                E::mma(accumulator, items, fragment);
            }
        }
        group += token_warps;
    }
}
