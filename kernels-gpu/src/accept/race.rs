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
/// As [`Residual::of_four`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub(super) unsafe fn race<const W: u32, const C: u32>(
    team: &mut Team<W, C>,
    residual: &Residual,
    draws: &Draws,
    row: u32,
    vocabulary: u32,
) -> Option<u32> {
    let mut best = UNWON;
    // The least key of the warp's lanes so far.
    let mut bound = f32::INFINITY;
    let mut first = team.first_token();
    // As many times in all lanes, which tell each other their keys.
    let mut base = 0;
    while base < vocabulary {
        if first < vocabulary {
            // SAFETY: the caller's promise.
            let (left, _) = unsafe { residual.of_four(first) };
            let words = draws.race(row, first / 4);
            for item in 0..4 {
                // A token is looked at closely if it may win, with room for rounding, as few do. So who wins does not depend
                // on the order.
                let reach = bound * left[item] * 1.000_001;
                if left[item] > 0.0 && exponential_floor(words[item]) <= reach {
                    let token = first + item as u32;
                    let key = draws.exponential(row, token, words[item]) / left[item];
                    let entry = u64::from(key.to_bits()) << 32 | u64::from(token);
                    best = best.min(entry);
                }
            }
        }
        // Keys are positive, and so ordered as their bits.
        bound = f32::from_bits(!redux::reduce_max(!((best >> 32) as u32)));
        first += Team::<W, C>::STRIDE;
        base += Team::<W, C>::STRIDE;
    }
    let won = team.combine(best, UNWON, |a, b| a.min(b)) as u32;
    if won == NONE { None } else { Some(won) }
}
