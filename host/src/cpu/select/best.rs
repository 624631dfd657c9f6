//! The best of a stream of blocks.

use std::sync::atomic::{AtomicU32, Ordering};

/// Scores that are looked at together for one that is good enough.
const GROUP: usize = 32;

/// What a block is ordered by: the better its score the smaller, among equals the lower the block.
pub(super) type Key = u64;

/// The block of a key.
pub(super) const fn block(key: Key) -> u32 {
    key as u32
}

const fn key(rank: u32, block: u32) -> Key {
    (!rank as u64) << 32 | block as u64
}

const fn rank_of(key: Key) -> u32 {
    !((key >> 32) as u32)
}

/// A number that is the greater the better the score, the same for scores that are equal; at least 1, for NaN.
fn rank(score: f32) -> u32 {
    // Makes -0 +0.
    let bits = (score + 0.0).to_bits();
    let sign = bits.cast_signed() >> 31;
    if score.is_nan() { 1 } else { bits ^ (sign.cast_unsigned() | 1 << 31) }
}

/// A score of the given rank: NaN for 1, and for 0, which no score has.
fn score(rank: u32) -> f32 {
    f32::from_bits(if rank >> 31 == 1 { rank ^ 1 << 31 } else { !rank })
}

/// Leaves the `count` best keys, in any order, and gives the worst of them; nothing if there are no more than that.
pub(super) fn keep_best(keys: &mut Vec<Key>, count: usize) -> Option<Key> {
    if count == 0 || keys.len() <= count {
        return None;
    }
    let (_, &mut worst, _) = keys.select_nth_unstable(count - 1);
    keys.truncate(count);
    Some(worst)
}

/// A rank that as many blocks reach as are to be chosen, of all that threads have looked at: a worse one is never chosen.
#[derive(Debug, Default)]
pub(super) struct Floor(AtomicU32);

impl Floor {
    /// Starts anew.
    pub(super) fn clear(&mut self) {
        *self.0.get_mut() = 0;
    }
}

/// The best blocks of a stream in ascending order: candidates are gathered, and thinned out now and then. Once there are
/// enough, a score at or below the worst one kept is skipped, and one below the worst one that another stream keeps.
#[derive(Debug, Default)]
pub(super) struct Best {
    keys: Vec<Key>,
    count: usize,
    /// The rank that a candidate must exceed.
    bar: u32,
}

impl Best {
    /// Starts anew, for the `count` best.
    pub(super) fn start(&mut self, count: usize) {
        self.keys.clear();
        self.count = count;
        self.bar = 0;
    }

    /// Looks at blocks `first ..` with the given scores, but for those in `taken`, which ascends.
    pub(super) fn look_at(&mut self, scores: &[f32], first: u32, taken: &[u32], floor: &Floor) {
        // Rarely thinned out, but small against a chunk.
        let room = 2 * self.count + 1024;
        self.bar = self.bar.max(floor.0.load(Ordering::Relaxed).saturating_sub(1));
        let mut bar = score(self.bar);
        for (group, first) in scores.chunks(GROUP).zip((first..).step_by(GROUP)) {
            // Side by side, unlike `all`. Nothing is at or below a bar of NaN.
            if group.iter().fold(true, |below, &score| below & (score <= bar)) {
                continue;
            }
            for (&score, block) in group.iter().zip(first..) {
                let rank = rank(score);
                if rank > self.bar && taken.binary_search(&block).is_err() {
                    self.keys.push(key(rank, block));
                }
            }
            if self.keys.len() >= room {
                self.thin_out(floor);
                bar = score(self.bar);
            }
        }
    }

    /// The keys of the best, in any order.
    pub(super) fn finish(&mut self, floor: &Floor) -> &[Key] {
        self.thin_out(floor);
        &self.keys
    }

    fn thin_out(&mut self, floor: &Floor) {
        if let Some(worst) = keep_best(&mut self.keys, self.count) {
            self.bar = self.bar.max(rank_of(worst));
            floor.0.fetch_max(self.bar, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_order_numbers_and_put_nan_below_them() {
        let ascending = [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-45, 0.0, 1e-45, 1.0, f32::MAX, f32::INFINITY];
        assert!(ascending.is_sorted_by(|&a, &b| rank(a) < rank(b)));
        assert_eq!(rank(-0.0), rank(0.0));
        assert_eq!((rank(f32::NAN), rank(-f32::NAN)), (1, 1));
        assert!(rank(f32::NEG_INFINITY) > 1);
        assert!(ascending.iter().all(|&number| score(rank(number)) == number));
        assert!(score(0).is_nan() && score(1).is_nan());
        assert_eq!(rank_of(key(rank(2.5), 7)), rank(2.5));
    }

    #[test]
    fn a_rising_stream_is_thinned_out_and_gives_its_end() {
        let scores: Vec<f32> = (0..20_000).map(|i| i as f32).collect();
        let mut best = Best::default();
        best.start(3);
        let floor = Floor::default();
        best.look_at(&scores, 100, &[20_098], &floor);
        let mut blocks: Vec<u32> = best.finish(&floor).iter().map(|&key| block(key)).collect();
        blocks.sort_unstable();
        assert_eq!(blocks, [20_096, 20_097, 20_099]);
        assert!(best.keys.capacity() < 4096);
    }

    #[test]
    fn of_equal_scores_the_first_are_kept() {
        let mut best = Best::default();
        let floor = Floor::default();
        best.start(2);
        for first in [5, 5005, 10_005] {
            best.look_at(&[f32::NAN; 5000], first, &[6], &floor);
        }
        let mut blocks: Vec<u32> = best.finish(&floor).iter().map(|&key| block(key)).collect();
        blocks.sort_unstable();
        assert_eq!(blocks, [5, 7]);
    }

    #[test]
    fn a_stream_gives_no_block_that_another_rules_out_but_its_equals() {
        let (floor, mut best) = (Floor::default(), Best::default());
        best.start(2);
        best.look_at(&[3.0, 5.0, 4.0], 10, &[], &floor);
        assert_eq!(best.finish(&floor).len(), 2);
        best.start(2);
        best.look_at(&[4.0, 3.5, 3.0, 2.0], 0, &[], &floor);
        assert_eq!(best.finish(&floor).iter().map(|&key| block(key)).collect::<Vec<_>>(), [0]);
    }
}
