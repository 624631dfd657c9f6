//! What the arrays say of the sequences, with everything out of range clamped or masked, and reported.

use std::{collections::BTreeMap, ops::Range};

use dustin_kernels::fault::Fault;

use crate::score::{arrays::ScoreArrays, problem::ScoreProblem};

/// Raises the status word.
pub(super) type Report<'a> = &'a (dyn Fn(u64) + Sync);

/// A sequence that has a part of the map.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    /// Its number in the batch.
    pub(super) index: u32,
    /// Its positions of the map, as many as it has tokens.
    pub(super) part: Range<usize>,
    /// The slot of its captured queries, if it has any.
    pub(super) slot: Option<u32>,
}

/// The sequences whose parts of the map are as they must be, in the order of these parts, which are disjoint.
pub(super) fn place(problem: &ScoreProblem, arrays: &ScoreArrays<'_>, report: Report<'_>) -> Vec<Sequence> {
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    let mut sequences = Vec::new();
    for index in 0..problem.batch {
        let part = match part(problem, arrays, index, &ends) {
            Ok(part) => part,
            Err(fault) => {
                report(fault.word(index));
                continue;
            }
        };
        let capacity = u64::from(problem.table_width) * u64::from(problem.kv.page_size);
        if part.len() as u64 > capacity {
            report(Fault::Length.word(index));
        }
        let slot = slot(problem, arrays, index, report);
        if !part.is_empty() {
            ends.insert(part.start, part.end);
            sequences.push(Sequence { index, part, slot });
        }
    }
    sequences.sort_unstable_by_key(|sequence| sequence.part.start);
    sequences
}

/// The part of the map of sequence `index`, if none of those that end at `ends`, by their starts, overlaps it.
fn part(
    problem: &ScoreProblem,
    arrays: &ScoreArrays<'_>,
    index: u32,
    ends: &BTreeMap<usize, usize>,
) -> Result<Range<usize>, Fault> {
    let index = index as usize;
    let length = u32::try_from(arrays.lengths[index]).map_err(|_| Fault::Length)?;
    let start = u32::try_from(arrays.map_starts[index]).map_err(|_| Fault::Map)?;
    let end = u32::try_from(arrays.map_starts[index + 1]).map_err(|_| Fault::Map)?;
    if end > problem.map_capacity || end.checked_sub(start).is_none_or(|room| room < length) {
        return Err(Fault::Map);
    }
    let part = start as usize..(start + length) as usize;
    let before = ends.range(..part.end).next_back();
    if !part.is_empty() && before.is_some_and(|(_, &end)| end > part.start) {
        return Err(Fault::Map);
    }
    Ok(part)
}

fn slot(problem: &ScoreProblem, arrays: &ScoreArrays<'_>, index: u32, report: Report<'_>) -> Option<u32> {
    let Some(slots) = arrays.slots else { return Some(index) };
    let slot = u32::try_from(slots[index as usize]).ok()?;
    if slot >= problem.slots {
        report(Fault::Slot.word(index));
        return None;
    }
    Some(slot)
}

/// Item offset, without the KV head, of the key at `position` of sequence `index`; nothing if it is masked.
pub(super) fn token(
    problem: &ScoreProblem,
    arrays: &ScoreArrays<'_>,
    index: u32,
    position: u32,
    report: Report<'_>,
) -> Option<u64> {
    let (page_index, place) = (position / problem.kv.page_size, position % problem.kv.page_size);
    if page_index >= problem.table_width {
        return None;
    }
    let page = arrays.block_table[index as usize * arrays.strides.table as usize + page_index as usize];
    match u32::try_from(page) {
        Ok(page) if page < problem.kv.pages => Some(problem.kv.offset(page, place, 0)),
        _ => {
            report(Fault::Page.word(index));
            None
        }
    }
}
