//! Exponentials as the workspace has them: floats, or 16 bits each, the lowest 5 of a float's exponent and the highest 11 of its
//! mantissa.
//!
//! An exponential is 2 to the power `logit - base`, where the logit exceeds its base by [`SLACK`] at most. Packed ones are
//! divided by a power of two that leaves the upper bits of all exponents zero. Cutting mantissas off makes them up to 2⁻¹¹
//! smaller, and so the sums that they are divided by, which are of what is stored: probabilities err by less than 2⁻¹¹, at random,
//! and sum to 1. Packed exponentials below 2⁻²² lose digits, as denormals do, and those below 2⁻³³ are zero.

/// How far a logit, in units of log2, may exceed the base of its column.
pub(super) const SLACK: f32 = 8.0;

/// log2 of what packed exponentials are divided by.
const OFFSET: u32 = 104;

/// log2 of the width of packed ones.
pub(super) const PACKED_LOG2: u32 = 3;

/// How a job's exponentials are stored. A position's exponentials of one group take up to 16 bytes: four floats, or eight
/// that are packed, where errors of many columns are averaged.
#[derive(Clone, Copy)]
pub(super) struct Format {
    /// log2 of the columns of a group that have places.
    pub(super) width_log2: u32,
}

impl Format {
    /// Whether they are packed.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn is_packed(self) -> bool {
        self.width_log2 == PACKED_LOG2
    }

    /// log2 of the words of 32 bits that a position has in a group.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn words_log2(self) -> u32 {
        self.width_log2.min(2)
    }

    /// log2 of what exponentials are divided by before they are stored.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn offset(self) -> f32 {
        if self.is_packed() { OFFSET as f32 } else { 0.0 }
    }

    /// 2 to the power [`Format::offset`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn unit(self) -> f32 {
        if self.is_packed() { (1_u128 << OFFSET) as f32 } else { 1.0 }
    }

    /// What is stored of an exponential. The product may be denormal, which what exponentials are computed by flushes to zero.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn stored(self, exponential: f32) -> f32 {
        self.cut(exponential * (1.0 / self.unit()))
    }

    /// The digits that are stored. A NaN stays one: its column's sum tells, whatever its place holds.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn cut(self, stored: f32) -> f32 {
        let mask = if self.is_packed() { 0xffff_f000 } else { u32::MAX };
        f32::from_bits(stored.to_bits() & mask)
    }
}

/// Two exponentials that have been cut. Neither reaches into the other's place, whatever it is.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn pack([low, high]: [f32; 2]) -> u32 {
    (low.to_bits() >> 12) & 0xffff | high.to_bits() << 4
}

/// The two exponentials of a word.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn unpack(word: u32) -> [f32; 2] {
    [f32::from_bits(word << 12 & 0x0fff_f000), f32::from_bits(word >> 4 & 0x0fff_f000)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKED: Format = Format { width_log2: 3 };

    #[test]
    fn what_is_unpacked_is_what_was_packed_from_the_slack_down_to_denormals() {
        let mut logit = SLACK;
        while logit > -33.0 {
            let [a, b] = [logit, logit - 0.37].map(|logit| PACKED.stored(logit.exp2()));
            assert_eq!(unpack(pack([a, b])), [a, b], "{logit}");
            logit -= 0.01;
        }
        assert_eq!(unpack(pack([0.0, 0.0])), [0.0, 0.0]);
    }

    #[test]
    fn exponentials_lose_less_than_a_part_in_2048() {
        for step in 0..30_000 {
            let exact = (SLACK - 0.001 * step as f32).exp2();
            let lost = (exact - PACKED.stored(exact) * PACKED.unit()) / exact;
            assert!((0.0..2_f32.powi(-11)).contains(&lost), "{step}: {lost}");
        }
        assert!(PACKED.stored(f32::NAN).is_nan());
        assert_eq!(Format { width_log2: 2 }.stored(0.1), 0.1);
    }

    #[test]
    fn a_nan_leaves_its_neighbour_as_it_is() {
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7fff_ffff), f32::INFINITY] {
            let other = PACKED.stored(0.3);
            assert_eq!(unpack(pack([PACKED.stored(nan), other]))[1], other);
            assert_eq!(unpack(pack([other, PACKED.stored(nan)]))[0], other);
        }
    }
}
