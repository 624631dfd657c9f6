//! A sequence's random numbers.

use super::philox::philox;

/// Exponential draws from so small a word take 32 bits more.
pub const REFINED_BELOW: u32 = 1 << 16;

/// What a word is drawn for; part of the counter, so that no two draws share one.
#[derive(Clone, Copy)]
enum Purpose {
    /// Whether a row's draft is accepted.
    Acceptance = 0,
    /// The race of the tokens at a row.
    Race = 1,
    /// Further bits of it.
    Refinement = 2,
}

/// The random numbers of a sequence in one step. They follow from its seed, the step, the row and what is drawn alone.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    key: [u32; 2],
    step: [u32; 2],
}

impl Draws {
    /// Those of a sequence with `seed` in step `step`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[must_use]
    pub fn new(seed: u64, step: u64) -> Self {
        let halves = |word: u64| [word as u32, (word >> 32) as u32];
        Self { key: halves(seed), step: halves(step) }
    }

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn words(&self, purpose: Purpose, row: u32, group: u32) -> [u32; 4] {
        philox([group, row << 2 | purpose as u32, self.step[0], self.step[1]], self.key)
    }

    /// The word that decides whether the draft of `row` is accepted; see [`uniform`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[must_use]
    pub fn acceptance(&self, row: u32) -> u32 {
        self.words(Purpose::Acceptance, row, 0)[0]
    }

    /// The words of tokens `4 · group` to `4 · group + 3` in the race at `row`; see [`Draws::exponential`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[must_use]
    pub fn race(&self, row: u32, group: u32) -> [u32; 4] {
        self.words(Purpose::Race, row, group)
    }

    /// The exponential variable of `token` in the race at `row`, whose word is `word`.
    ///
    /// A token of small weight wins by a small variable, so small ones need many bits: 32 bits are 2^-32 apart, which is as much
    /// as a token of probability 10^-9 has to have. Words below 2^16 are continued by 32 more, so that whatever a variable's
    /// size, 16 bits and more of it are random. None is 0.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[must_use]
    pub fn exponential(&self, row: u32, token: u32, word: u32) -> f32 {
        if word >= REFINED_BELOW {
            return exponential(word);
        }
        let bits = u64::from(word) << 32 | u64::from(self.refinement(row, token));
        series((bits as f32 + 0.5) * (1.0 / (1_u128 << 64) as f32))
    }

    /// The word that continues a word below [`REFINED_BELOW`] of `token` in the race at `row`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[must_use]
    pub fn refinement(&self, row: u32, token: u32) -> u32 {
        let words = self.words(Purpose::Refinement, row, token / 4);
        let mut word = words[0];
        for index in 1..4 {
            if token % 4 == index as u32 {
                word = words[index];
            }
        }
        word
    }
}

/// The number between 0 and 1 that `word` stands for. Both ends are beyond reach, but for rounding to 1.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
#[must_use]
pub fn uniform(word: u32) -> f32 {
    (word as f32 + 0.5) * (1.0 / (1_u64 << 32) as f32)
}

/// A number that the exponential variable of `word` does not lie below.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
#[must_use]
pub fn exponential_floor(word: u32) -> f32 {
    word as f32 * (1.0 / (1_u64 << 32) as f32)
}

/// `-ln(1 - v)` where `v = (word + 1/2) / 2^32`, to a few units of the last place, small ones, too. The same bits wherever it is
/// computed.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn exponential(word: u32) -> f32 {
    // 1 - v, a number of 33 bits that is not 0, is a power of two times a number from 1/2 to 1.
    let rest = u64::from(!word) << 1 | 1;
    let halvings = rest.leading_zeros() - 31;
    let distance = (1_u64 << 33) - (rest << halvings);
    halvings as f32 * core::f32::consts::LN_2 + series(distance as f32 * (1.0 / (1_u64 << 33) as f32))
}

/// `-ln(1 - v)` for `0 < v <= 1/2`: `2 · artanh(v / (2 - v))`.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn series(v: f32) -> f32 {
    const TERMS: u32 = 8;
    let s = v / (2.0 - v);
    let square = s * s;
    let mut sum = 0.0;
    for term in 0..TERMS {
        sum = sum * square + 1.0 / (2 * (TERMS - 1 - term) + 1) as f32;
    }
    2.0 * s * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_within_a_few_units_of_the_last_place() {
        let words = (0..33).flat_map(|bit| {
            let base = (1_u64 << bit) - 1;
            (0..1000_u64).map(move |step| (base.wrapping_add(step * 7919) & 0xffff_ffff) as u32)
        });
        for word in words.chain([0, 1, u32::MAX, u32::MAX - 1, 1 << 31, (1 << 31) - 1]) {
            let v = (f64::from(word) + 0.5) / (1_u64 << 32) as f64;
            let (expected, actual) = (-(-v).ln_1p(), f64::from(exponential(word)));
            assert!((actual - expected).abs() <= 4e-7 * expected, "{word}: {actual}, not {expected}");
            assert!(exponential_floor(word) <= exponential(word), "{word}");
        }
    }

    #[test]
    fn small_words_are_refined_by_bits_of_their_own() {
        let draws = Draws::new(7, 9);
        let group = draws.words(Purpose::Refinement, 3, 5);
        for (token, low) in (20..24).zip(group) {
            let v = ((1234_u64 << 32 | u64::from(low)) as f64 + 0.5) / (1_u128 << 64) as f64;
            let actual = f64::from(draws.exponential(3, token, 1234));
            assert!((actual / -(-v).ln_1p() - 1.0).abs() < 4e-7, "{token}: {actual}");
        }
        assert!(draws.exponential(3, 20, 0) > 0.0);
        assert_eq!(draws.exponential(3, 20, REFINED_BELOW), exponential(REFINED_BELOW));
    }

    #[test]
    fn no_two_draws_share_their_words() {
        let draws = |seed, step| Draws::new(seed, step);
        let mut seen = std::collections::BTreeSet::new();
        for (seed, step) in [(1, 1), (1 << 32, 1), (1, 2), (1, 1 << 32)] {
            for row in 0..3 {
                let of = draws(seed, step);
                seen.insert(of.acceptance(row));
                seen.extend((0..3).flat_map(|group| of.race(row, group)));
                seen.extend(of.words(Purpose::Refinement, row, 0));
            }
        }
        assert_eq!(seen.len(), 4 * 3 * (1 + 12 + 4));
    }

    #[test]
    fn uniforms_are_never_zero() {
        assert!(uniform(0) > 0.0 && uniform(u32::MAX) <= 1.0 && uniform(1 << 31) > 0.5 - 1e-6);
    }
}
