//! Scores of blocks from scores of positions.

use std::ops::Range;

use crate::select::problem::SelectProblem;

/// Memory for the scores of one tile.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    padded: Vec<f32>,
    pooled: Vec<f32>,
    sums: Vec<f32>,
}

/// The scores of `blocks` of a sequence whose part of a map is `map`.
pub(super) fn block_scores<'a>(
    problem: &SelectProblem,
    map: &'a [f32],
    blocks: Range<u32>,
    scratch: &'a mut Scratch,
) -> &'a [f32] {
    let Scratch { padded, pooled, sums } = scratch;
    let block = problem.block as usize;
    let positions = blocks.start as usize * block..(blocks.end as usize * block).min(map.len());
    let scores = match problem.pooling as usize {
        1 => &map[positions],
        window => {
            pad(map, &positions, window / 2, padded);
            pool(padded, positions.len(), window, pooled);
            &pooled[..]
        }
    };
    if block == 1 {
        return scores;
    }
    sums.clear();
    sums.extend(scores.chunks(block).map(|scores| scores.iter().fold(0.0, |sum, score| sum + score)));
    sums
}

/// The scores of `positions` and of `reach` more on either side, zeros outside the sequence.
fn pad(map: &[f32], positions: &Range<usize>, reach: usize, padded: &mut Vec<f32>) {
    let (first, end) = (positions.start.saturating_sub(reach), (positions.end + reach).min(map.len()));
    padded.clear();
    padded.resize(first + reach - positions.start, 0.0);
    padded.extend_from_slice(&map[first..end]);
    padded.resize(positions.len() + 2 * reach, 0.0);
}

/// Averages over windows, all of them side by side: each sums from 0 in ascending position.
fn pool(padded: &[f32], count: usize, window: usize, pooled: &mut Vec<f32>) {
    pooled.clear();
    pooled.resize(count, 0.0);
    for offset in 0..window {
        for (sum, score) in pooled.iter_mut().zip(&padded[offset..]) {
            *sum += score;
        }
    }
    for sum in pooled {
        *sum /= window as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_have_the_scores_of_the_whole() {
        let map: Vec<f32> = (0..101).map(|i| (i as f32).sin()).collect();
        let (mut whole, mut part) = (Scratch::default(), Scratch::default());
        for (pooling, block) in [(1, 1), (1, 4), (5, 1), (63, 7)] {
            let problem = SelectProblem { pooling, block, ..SelectProblem::plain(1, 101, 28) };
            let blocks = 101_u32.div_ceil(block);
            let scores = block_scores(&problem, &map, 0..blocks, &mut whole);
            assert_eq!(scores.len(), blocks as usize);
            for first in 0..blocks {
                let end = (first + 3).min(blocks);
                let tile = block_scores(&problem, &map, first..end, &mut part);
                assert_eq!(tile, &scores[first as usize..end as usize]);
            }
        }
    }
}
