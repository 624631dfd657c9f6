//! How a sequence's positions are divided into chunks, and where their results lie in the workspace. The same on the
//! host and on the device, and a function of the sequence's own length: a sequence's bits depend on nothing else.

/// Tokens in a chunk of a sequence of up to `BASE · MAX_CHUNKS` tokens.
pub const BASE: u32 = 256;

/// The most chunks that a sequence is divided into.
pub const MAX_CHUNKS: u32 = 256;

/// Positions that one sequence's part of the workspace is a multiple of: the most tokens in a tile.
pub const GRAIN: u32 = 32;

/// Tokens in each chunk but the last of a sequence of `length` tokens: a multiple of [`BASE`].
#[inline(always)]
#[must_use]
pub const fn chunk_tokens(length: u32) -> u32 {
    let units = length.div_ceil(BASE * MAX_CHUNKS);
    BASE * if units > 1 { units } else { 1 }
}

/// Chunks of a sequence of `length` tokens, at most [`MAX_CHUNKS`].
#[inline(always)]
#[must_use]
pub const fn chunks(length: u32) -> u32 {
    length.div_ceil(chunk_tokens(length))
}

/// The first position, in the workspace, of the sequence whose part of the map begins at `map_start`: multiples of
/// [`GRAIN`], with room for its length rounded up to one.
#[inline(always)]
#[must_use]
pub const fn part_start(map_start: u32, sequence: u32) -> u64 {
    (map_start / GRAIN) as u64 * GRAIN as u64 + sequence as u64 * GRAIN as u64
}

/// Positions of the workspace for `batch` sequences whose maps take `map_capacity` positions in all.
#[must_use]
pub const fn positions(map_capacity: u32, batch: u32) -> u64 {
    part_start(map_capacity, batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sequence_has_more_chunks_than_the_most_and_short_ones_have_small_chunks() {
        for length in [0, 1, 255, 256, 257, 32_768, 65_535, 65_536, 65_537, 131_073, 1 << 20, i32::MAX as u32]
        {
            let (tokens, chunks) = (chunk_tokens(length), chunks(length));
            assert!(chunks <= MAX_CHUNKS && tokens.is_multiple_of(BASE), "{length}: {chunks} of {tokens}");
            assert!(u64::from(chunks) * u64::from(tokens) >= u64::from(length));
        }
        assert_eq!([1, 65_536, 65_537, 131_072].map(chunk_tokens), [256, 256, 512, 512]);
    }

    #[test]
    fn parts_of_the_workspace_do_not_overlap_whatever_the_lengths() {
        let mut start = 0;
        for (sequence, length) in [0, 1, 15, 16, 17, 31, 1000, 0, 3, 4096].into_iter().enumerate() {
            let first = part_start(start, sequence as u32);
            start += length;
            let next = part_start(start, sequence as u32 + 1);
            assert!(first.is_multiple_of(GRAIN.into()));
            assert!(next >= first + u64::from(length.next_multiple_of(GRAIN)), "{sequence}");
        }
    }
}
