//! The order of units.

use super::histogram::BINS;

/// A number of 32 bits that orders scores: greater for a greater number, equal for -0 and +0, 0 for NaN alone.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn key(score: f32) -> u32 {
    if score.is_nan() {
        return 0;
    }
    // The sum turns -0 into +0 and leaves everything else. Of negative numbers, all bits turn; of others, the sign.
    let bits = (score + 0.0).to_bits();
    bits ^ ((bits.cast_signed() >> 31).cast_unsigned() | 1 << 31)
}

/// Bits of a key below its coarse digit, which thus tells 32 steps of each doubling apart.
const FINE: u32 = 18;

/// The key of the least score with a coarse digit of its own kind, 2⁻⁵⁶. The 64 doublings from it on, up to 2⁸, are what sums
/// of probabilities lie in.
const LEAST: u32 = 1 << 31 | (127 - 56) << 23;

/// A first digit made for importance maps, of which the bits that a key begins with tell little: it ascends with the key, and
/// the lowest and the highest digit are those of all keys below and above, too.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn coarse(key: u32) -> u32 {
    (key.saturating_sub(LEAST) >> FINE).min(BINS - 1)
}

/// The least rank of units with a coarse digit, and how many of its bits differ among them: all where the digit is that of
/// whatever lies below or above.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn of_coarse(digit: u32) -> (u64, u32) {
    let least = if digit == 0 { 0 } else { u64::from(LEAST + (digit << FINE)) << 32 };
    (least, if digit == 0 || digit == BINS - 1 { 64 } else { FINE + 32 })
}

/// A number of 64 bits that orders units, the best one greatest: by score, then the lower unit first. No two units of a
/// sequence have the same.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn rank(score: f32, unit: u32) -> u64 {
    of_key(key(score), unit)
}

/// The [`rank`] of a unit whose score has the given key.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn of_key(key: u32, unit: u32) -> u64 {
    u64::from(key) << 32 | u64::from(!unit)
}

/// Above every unit's rank: the threshold that chooses none.
pub(super) const ABOVE_ALL: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::{super::histogram::DIGIT, *};

    #[test]
    fn ranks_order_scores_as_numbers_with_nan_last() {
        let scores = [
            f32::INFINITY,
            f32::MAX,
            1.0,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            0.0,
            -f32::from_bits(1),
            -1.0,
            f32::MIN,
            f32::NEG_INFINITY,
            f32::NAN,
        ];
        for pair in scores.windows(2) {
            assert!(rank(pair[0], u32::MAX - 1) > rank(pair[1], 0), "{pair:?}");
        }
        assert!(rank(scores[0], 0) < ABOVE_ALL);
    }

    #[test]
    fn coarse_digits_ascend_with_keys_and_know_their_least() {
        const { assert!(BINS == 64 * 32 && 1 << DIGIT == BINS) };
        let scores = (-70..20).flat_map(|power| (0..32).map(move |step| (1.0 + step as f32 / 32.0, power)));
        let mut below = coarse(key(f32::NEG_INFINITY));
        assert_eq!((below, coarse(key(f32::NAN)), coarse(key(f32::INFINITY))), (0, 0, BINS - 1));
        for score in scores.map(|(step, power)| step * 2_f32.powi(power)) {
            let digit = coarse(key(score));
            let inner = (2_f32.powi(-56)..2_f32.powi(8)).contains(&score);
            assert!(
                digit == below + u32::from(inner && score > 2_f32.powi(-56)) || digit == below,
                "{score}"
            );
            let (least, open) = of_coarse(digit);
            assert!(rank(score, 7) >= least, "{score}");
            assert!(open == 64 || (rank(score, 7) ^ least) >> open == 0, "{score}");
            below = digit;
        }
        assert_eq!(below, BINS - 1);
    }

    #[test]
    fn equal_scores_rank_by_the_lower_unit_whatever_their_signs_and_payloads() {
        for (a, b) in
            [(0.0, -0.0), (-0.0, 0.0), (f32::NAN, -f32::NAN), (f32::from_bits(0xffff_ffff), f32::NAN)]
        {
            assert!(rank(a, 3) > rank(b, 4) && rank(b, 3) > rank(a, 4), "{a} {b}");
            assert_eq!(rank(a, 3), rank(b, 3));
        }
    }
}
