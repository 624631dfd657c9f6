//! From a problem to its bucket: the ranges of capacities that share one choice.
//!
//! A bucket is named by its upper end, so that a choice tuned there has room for every problem inside. Steps are
//! close where the best choice changes quickly and never wider than a factor of two.
//!
//! | field | upper ends |
//! |---|---|
//! | batch | 2ⁿ and 3·2ⁿ: 1, 2, 3, 4, 6, 8, 12, 16, 24, 32 …, and 65,535, the largest batch |
//! | set capacity, budget | the same, from 64 on |
//! | sources | the same, up to 1,024 |
//! | rows, captured heads, captured tokens | 1 to 8 each, then multiples of 8: query columns decide the tile |
//! | length class, mean length, block | powers of two |

/// The most sequences in a batch: what a grid can be.
const MAX_BATCH: u32 = 65_535;

/// The most sources that are told apart: more than any model has layers.
const MAX_SOURCES: u32 = 1024;

/// The most positions of a map.
const MAX_MAP: u64 = i32::MAX as u64;

/// The bucket of a batch capacity.
#[must_use]
pub fn batch(batch: u32) -> u32 {
    half_octave(batch).min(MAX_BATCH)
}

/// The bucket of a row capacity.
#[must_use]
pub fn rows(rows: u32) -> u32 {
    if rows <= 8 { rows.max(1) } else { rows.checked_next_multiple_of(8).unwrap_or(u32::MAX) }
}

/// The bucket of a set capacity.
#[must_use]
pub fn set_capacity(capacity: u32) -> u32 {
    half_octave(capacity.max(64))
}

/// The length class of a block table that holds `tokens` tokens.
#[must_use]
pub fn length_class(tokens: u64) -> u32 {
    u32::try_from(tokens.max(1)).ok().and_then(u32::checked_next_power_of_two).unwrap_or(u32::MAX)
}

/// The bucket of a number of sources.
#[must_use]
pub fn sources(sources: u32) -> u32 {
    half_octave(sources).min(MAX_SOURCES)
}

/// The bucket of the mean length of `batch` sequences whose map is full: no more than the largest map has room for.
#[must_use]
pub fn mean_length(batch: u32, length: u32) -> u32 {
    length_class(u64::from(length).min(MAX_MAP.div_ceil(batch.max(1).into())))
}

/// Positions of a map that holds `batch` sequences of the mean length, or as many as a map may have.
#[must_use]
pub fn map_capacity(batch: u32, mean_length: u32) -> u32 {
    (u64::from(batch) * u64::from(mean_length)).min(MAX_MAP) as u32
}

/// The least of 2ⁿ and 3·2ⁿ that is not below `value`.
fn half_octave(value: u32) -> u32 {
    let Some(octave) = value.max(1).checked_next_power_of_two() else { return u32::MAX };
    let between = octave / 4 * 3;
    if between >= value && between > 0 { between } else { octave }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_round_up_to_the_documented_steps() {
        let steps: Vec<u32> = (1..=33).map(batch).collect();
        assert_eq!(steps[..9], [1, 2, 3, 4, 6, 6, 8, 8, 12]);
        assert_eq!(steps[31..], [32, 48]);
        assert_eq!([49_152, 49_153, 65_535, 65_536].map(batch), [49_152, 65_535, 65_535, 65_535]);
        assert_eq!([0, 1, 64, 65, 97, 300, 512, 513].map(set_capacity), [64, 64, 64, 96, 128, 384, 512, 768]);
        assert_eq!([0, 1, 5, 8, 9, 16, 17, 64].map(rows), [1, 1, 5, 8, 16, 16, 24, 64]);
        assert_eq!([0, 1, 32_768, 32_769].map(length_class), [1, 1, 32_768, 65_536]);
    }

    #[test]
    fn the_largest_capacities_stay_in_range() {
        for function in [batch, rows, set_capacity] {
            assert!(function(u32::MAX) >= function(1 << 30));
        }
        assert_eq!(length_class(u64::MAX), u32::MAX);
    }

    proptest::proptest! {
        #[test]
        fn a_bucket_holds_its_problems_and_is_its_own_bucket(value in 1..=1_u32 << 30) {
            for (function, most) in [(batch as fn(u32) -> u32, MAX_BATCH), (rows, u32::MAX), (set_capacity, u32::MAX)] {
                let value = value.min(most);
                let end = function(value);
                assert!(end >= value);
                assert_eq!(function(end), end);
                assert!(u64::from(end) < 2 * u64::from(value.max(64)));
            }
        }
    }
}
