//! Exponentials as the workspace has them: 16 bits each, the lowest 5 of a float's exponent and the highest 11 of its
//! mantissa.
//!
//! An exponential is 2 to the power `logit - base - `[`OFFSET`], where the logit exceeds its base by [`SLACK`] at most: all
//! exponents then have their upper bits zero. Cutting mantissas off makes them up to 2⁻¹¹ smaller, and so the sums that they are
//! divided by, which are of what is stored: probabilities err by less than 2⁻¹¹, at random, and sum to 1. Exponentials below
//! 2⁻²² times that of the base lose digits, as denormals do.

/// How far a logit, in units of log2, may exceed the base of its column.
pub(super) const SLACK: f32 = 8.0;

/// log2 of what the exponentials are divided by.
pub(super) const OFFSET: f32 = 104.0;

/// What the 16 bits hold of an exponential. A NaN stays one.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn cut(exponential: f32) -> f32 {
    f32::from_bits(exponential.to_bits() & 0xffff_f000)
}

/// Two exponentials that have been cut.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn pack([low, high]: [f32; 2]) -> u32 {
    low.to_bits() >> 12 | high.to_bits() << 4
}

/// The two exponentials of a word.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn unpack(word: u32) -> [f32; 2] {
    [f32::from_bits(word << 12 & 0x0fff_f000), f32::from_bits(word >> 4 & 0x0fff_f000)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_is_what_was_packed_from_the_slack_down_to_denormals() {
        let mut logit = SLACK;
        while logit > -33.0 {
            let [a, b] = [logit, logit - 0.37].map(|logit| cut((logit - OFFSET).exp2()));
            assert_eq!(unpack(pack([a, b])), [a, b], "{logit}");
            logit -= 0.01;
        }
        assert_eq!(unpack(pack([0.0, 0.0])), [0.0, 0.0]);
    }

    #[test]
    fn exponentials_lose_less_than_a_part_in_2048() {
        for step in 0..30_000 {
            let exact = (SLACK - 0.001 * step as f32 - OFFSET).exp2();
            let lost = (exact - cut(exact)) / exact;
            assert!((0.0..2_f32.powi(-11)).contains(&lost), "{step}: {lost}");
        }
        assert!(cut(f32::NAN).is_nan());
    }
}
