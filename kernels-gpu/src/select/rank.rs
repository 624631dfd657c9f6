//! The order of units.

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

/// A number of 64 bits that orders units, the best one greatest: by score, then the lower unit first. No two units of a
/// sequence have the same.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn rank(score: f32, unit: u32) -> u64 {
    u64::from(key(score)) << 32 | u64::from(!unit)
}

/// Above every unit's rank: the threshold that chooses none.
pub(super) const ABOVE_ALL: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

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
    fn equal_scores_rank_by_the_lower_unit_whatever_their_signs_and_payloads() {
        for (a, b) in
            [(0.0, -0.0), (-0.0, 0.0), (f32::NAN, -f32::NAN), (f32::from_bits(0xffff_ffff), f32::NAN)]
        {
            assert!(rank(a, 3) > rank(b, 4) && rank(b, 3) > rank(a, 4), "{a} {b}");
            assert_eq!(rank(a, 3), rank(b, 3));
        }
    }
}
