//! One thread's share of a column's output, from the teams' sums to the output array.

use super::{
    super::{online, params::Params, shape::Shape},
    staged, states,
    target::Target,
};
use crate::simt::{Element, Global, Shared, math};

/// Items of one half of a piece: a 16-byte word of fp32.
pub(super) const HALF: usize = 4;

/// One thread's share of a column's output: four items of a head and the four half a head behind, so that neighbours' words
/// lie side by side; with the column's maximum and sum.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) maximum: f32,
    pub(super) sum: f32,
    pub(super) items: [[f32; HALF]; 2],
}

impl Piece {
    /// Nothing seen.
    pub(super) const NOTHING: Self = Self { maximum: f32::NEG_INFINITY, sum: 0.0, items: [[0.0; HALF]; 2] };

    /// Adds what another split has: its maximum, sum and items.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn absorb(&mut self, maximum: f32, sum: f32, items: [[u32; HALF]; 2]) {
        let raised = self.maximum.max(maximum);
        let reference = online::finite(raised);
        let (old, new) = (math::exp2(self.maximum - reference), math::exp2(maximum - reference));
        self.maximum = raised;
        self.sum = self.sum * old + sum * new;
        for half in 0..2 {
            for i in 0..HALF {
                self.items[half][i] = self.items[half][i] * old + f32::from_bits(items[half][i]) * new;
            }
        }
    }
}

/// The block's own piece: what its teams have brought to shared memory, in their order.
///
/// # Safety
/// [`gather_block`](super::gather_block) has run.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn own_piece<G: Shape>(target: &Target) -> Piece {
    let state = |team: u32| {
        // SAFETY: the caller's promise; the column is one of the block's.
        let state = unsafe { states::<G>(team).load(target.local) };
        [f32::from_bits(state as u32), f32::from_bits((state >> 32) as u32)]
    };
    let mut maximum = f32::NEG_INFINITY;
    for team in 0..G::TILE.teams {
        maximum = maximum.max(state(team)[0]);
    }
    let mut piece = Piece { maximum, ..Piece::NOTHING };
    for team in 0..G::TILE.teams {
        let [base, sum] = state(team);
        let row = Shared::<[u32; 4]>::at(staged::<G>(team, target.local));
        let factor = math::exp2(base - online::finite(maximum));
        piece.sum += sum * factor;
        for half in 0..2 {
            // SAFETY: the items lie in the column's row.
            let items = unsafe { row.load((target.item + half as u32 * G::HEAD_DIM / 2) / HALF as u32) };
            for i in 0..HALF {
                piece.items[half][i] += f32::from_bits(items[i]) * factor;
            }
        }
    }
    piece
}

/// Writes a finished piece: normalised output and, by the first piece of a column, the log-sum-exp.
///
/// # Safety
/// The output arrays are as documented.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn finish<E: Element, G: Shape>(params: &Params, target: &Target, piece: &Piece) {
    let normaliser = if piece.sum == 0.0 { 0.0 } else { 1.0 / piece.sum };
    let (row, head) = (u64::from(target.row), u64::from(target.head));
    let at = row * params.output_row_stride + head * params.output_head_stride + u64::from(target.item);
    for half in 0..2 {
        let word = (at + half as u64 * u64::from(G::HEAD_DIM) / 2) / HALF as u64;
        let items = piece.items[half].map(|x| x * normaliser);
        // SAFETY: the caller's promise; row and head are the launch's.
        unsafe {
            if params.output_f32 != 0 {
                Global::<[u32; 4]>::at(params.output.address()).store(word, items.map(f32::to_bits));
            } else {
                let [a, b, c, d] = items;
                let packed = u64::from(E::pack(a, b)) | u64::from(E::pack(c, d)) << 32;
                Global::<u64>::at(params.output.address()).store(word, packed);
            }
        }
    }
    // SAFETY: as above.
    unsafe {
        if target.item == 0 && !params.lse.is_null() {
            let lse = (piece.maximum + math::log2(piece.sum)) * params.lse_unit;
            params.lse.store(target.state(params, 0), lse);
        }
    }
}
