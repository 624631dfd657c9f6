//! A draw from what is left of a distribution: the token whose exponential variable, divided by its weight, is the least.

use super::{
    chunk::NONE,
    draws::{Draws, exponential_floor},
    residual::Residual,
    team::Team,
};
use crate::simt::redux;

/// What nobody has won: a key that is infinite, and no token.
const UNWON: u64 = (f32::INFINITY.to_bits() as u64) << 32 | NONE as u64;

/// The token that wins the race at `row`, in every thread; nothing where no token has any weight. All threads of the team take
/// part.
///
/// # Safety
/// As [`Residual::sum`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub(super) unsafe fn race<const W: u32, const C: u32>(
    team: &mut Team<W, C>,
    residual: &Residual,
    draws: &Draws,
    row: u32,
) -> Option<u32> {
    let mut best = UNWON;
    // The least key of the warp's lanes so far.
    let mut bound = f32::INFINITY;
    let mut first = team.first_token();
    // As many times in all lanes, which tell each other their keys.
    let mut base = 0;
    while base < residual.vocabulary {
        // SAFETY: the caller's promise.
        let (left, _) = unsafe { residual.of_four(first, residual.load_four(first)) };
        let words = draws.race(row, first / 4);
        // A token is looked at closely if it may win, with room for rounding, as few do. So who wins does not depend on the order.
        let mut close: u32 = 0;
        for item in 0..4 {
            let reach = bound * left[item] * 1.000_001;
            if left[item] > 0.0 && exponential_floor(words[item]) <= reach {
                close |= 1 << item;
            }
        }
        while close != 0 {
            let item = close.trailing_zeros();
            close &= close - 1;
            let (mut word, mut weight) = (words[0], left[0]);
            for other in 1..4 {
                if item == other as u32 {
                    (word, weight) = (words[other], left[other]);
                }
            }
            let key = draws.exponential(row, first + item, word) / weight;
            best = best.min(u64::from(key.to_bits()) << 32 | u64::from(first + item));
        }
        // Keys are positive, and so ordered as their bits.
        bound = f32::from_bits(!redux::reduce_max(!((best >> 32) as u32)));
        first += Team::<W, C>::STRIDE;
        base += Team::<W, C>::STRIDE;
    }
    let won = team.combine(best, UNWON, |a, b| a.min(b)) as u32;
    if won == NONE { None } else { Some(won) }
}
