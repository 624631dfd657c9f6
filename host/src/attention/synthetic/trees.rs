//! Masks of trees.

use rand::{Rng, RngExt};

/// A mask for each of `total_rows` rows, of which sequences own those between two neighbours of `row_starts`: each row sees itself and
/// what a random earlier row of its sequence sees. Now and then it sees rows at random, or nothing at all; and bits of rows that the
/// sequence does not have are random, too.
pub(super) fn masks(total_rows: u32, row_starts: &[i32], rng: &mut impl Rng) -> Vec<u64> {
    let mut masks: Vec<u64> = (0..total_rows).map(|_| rng.next_u64()).collect();
    for ends in row_starts.windows(2) {
        let (first, rows) = (ends[0] as usize, (ends[1] - ends[0]) as usize);
        let own = u64::MAX.unbounded_shr(64 - rows as u32);
        for row in 0..rows {
            let parent = if row == 0 { 0 } else { masks[first + rng.random_range(0..row)] & own };
            let seen = match rng.random_range(0..8) {
                0 => rng.next_u64(),
                1 => 0,
                _ => parent | 1 << row,
            };
            masks[first + row] = seen & own | rng.next_u64() & !own;
        }
    }
    masks
}
