//! Selection by sorting, written for clarity: it judges every back end, bit for bit.

use std::cmp::Ordering;

use dustin_kernels::{fault::Fault, select::params::EVERYTHING};

use crate::{
    error::InvalidInput,
    select::{
        arrays::SelectArrays,
        problem::{Fallback, SelectProblem, SlotTable},
    },
};

/// What selection must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Each sequence's set.
    pub sets: Vec<Selection>,
    /// The status word of a launch that starts with 0.
    pub status: u64,
}

/// What one sequence gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The flag EVERYTHING: no positions are written.
    Everything,
    /// A verification set.
    Set {
        /// The positions, ascending.
        positions: Vec<i32>,
        /// Their physical slots, if asked for; -1 for a position that has none.
        physical: Option<Vec<i32>>,
    },
}

impl Selection {
    /// What the array of sizes says of it.
    #[must_use]
    pub fn size(&self) -> i32 {
        match self {
            Self::Everything => EVERYTHING,
            Self::Set { positions, .. } => positions.len() as i32,
        }
    }
}

/// The selection of `problem` over `arrays`, with the defined results where the device's data is out of range. The first
/// rule that applies to a sequence decides:
///
/// 1. A negative length selects nothing, and is reported. So does, without a report, a length of 0.
/// 2. A length of at most `everything` gives the flag; nothing else of the sequence is looked at.
/// 3. A part of the maps that descends, that is shorter than the length or that leaves the maps is reported, and selects
///    nothing.
/// 4. A length of at most the budget selects every position.
/// 5. A slot beyond the problem's is reported, and says as a negative one does that there is no target map. Without one the
///    flag is given, if the problem says so.
/// 6. Else the rules of [`SelectProblem`] hold.
///
/// A position beyond the block table, or on a page outside the cache, has the slot -1, and is reported. The highest
/// status word stays.
///
/// # Errors
/// The problem is invalid, or an array is missing or too short for it.
pub fn select(problem: &SelectProblem, arrays: &SelectArrays<'_>) -> Result<Reference, InvalidInput> {
    arrays.validate(problem)?;
    let mut reference = Reference { sets: Vec::new(), status: 0 };
    for sequence in 0..problem.batch {
        let mut report = |fault: Fault| reference.status = reference.status.max(fault.word(sequence));
        let selection = match positions_of(problem, arrays, sequence as usize, &mut report) {
            None => Selection::Everything,
            Some(positions) => {
                let physical = problem.table.map(|table| {
                    let slot = |&position: &i32| {
                        slot_of(&table, arrays, sequence as usize, position).unwrap_or_else(|fault| {
                            report(fault);
                            -1
                        })
                    };
                    positions.iter().map(slot).collect()
                });
                Selection::Set { positions, physical }
            }
        };
        reference.sets.push(selection);
    }
    Ok(reference)
}

/// The positions of a sequence's set, ascending; nothing for the flag EVERYTHING.
fn positions_of(
    problem: &SelectProblem,
    arrays: &SelectArrays<'_>,
    sequence: usize,
    report: &mut impl FnMut(Fault),
) -> Option<Vec<i32>> {
    let length = i64::from(arrays.lengths[sequence]);
    if length < 0 {
        report(Fault::Length);
    }
    if length <= 0 {
        return Some(Vec::new());
    }
    if length <= i64::from(problem.everything) {
        return None;
    }
    let (first, end) = (i64::from(arrays.map_starts[sequence]), i64::from(arrays.map_starts[sequence + 1]));
    if first < 0 || end > i64::from(problem.map_capacity) || end - first < length {
        report(Fault::Map);
        return Some(Vec::new());
    }
    if length <= i64::from(problem.budget) {
        return Some((0..length as i32).collect());
    }

    let scores = |map: &[f32]| block_scores(problem, &map[first as usize..][..length as usize]);
    let has_target = match (arrays.target_slots, problem.slots) {
        (Some(slots), Some(count)) => {
            let slot = i64::from(slots[sequence]);
            if slot >= i64::from(count) {
                report(Fault::Slot);
            }
            (0..i64::from(count)).contains(&slot)
        }
        _ => true,
    };
    if problem.maps.target() && !has_target && problem.without_target == Fallback::Everything {
        return None;
    }
    let draft = arrays.draft.map(scores);
    let target = arrays.target.filter(|_| has_target).map(scores);
    let blocks = choose(problem, length as usize, draft.as_deref(), target.as_deref());
    let positions = (0..length as i32).filter(|&position| blocks[(position as u32 / problem.block) as usize]);
    Some(positions.collect())
}

/// The score of every block of a sequence: the sum of its positions' scores, each an average over a window that reaches
/// as far to either side, with zeros outside the sequence. Sums are fp32, from 0, in ascending position.
fn block_scores(problem: &SelectProblem, map: &[f32]) -> Vec<f32> {
    let reach = (problem.pooling / 2) as i64;
    let score = |position: usize| {
        if problem.pooling == 1 {
            return map[position];
        }
        let mut sum = 0.0;
        for at in position as i64 - reach..=position as i64 + reach {
            let inside = usize::try_from(at).ok().and_then(|at| map.get(at));
            sum += inside.copied().unwrap_or(0.0);
        }
        sum / problem.pooling as f32
    };
    let block = problem.block as usize;
    let blocks = map.len().div_ceil(block);
    let positions = |index: usize| index * block..((index + 1) * block).min(map.len());
    (0..blocks).map(|index| positions(index).fold(0.0, |sum, position| sum + score(position))).collect()
}

/// Which blocks of a sequence of more positions than the budget are chosen.
fn choose(
    problem: &SelectProblem,
    length: usize,
    draft: Option<&[f32]>,
    target: Option<&[f32]>,
) -> Vec<bool> {
    let block = problem.block as usize;
    let mut chosen = vec![false; length.div_ceil(block)];
    for position in 0..length {
        let recent = length - position <= problem.recent as usize;
        if position < problem.sinks as usize || recent {
            chosen[position / block] = true;
        }
    }
    let room = problem.budget as usize / block - chosen.iter().filter(|&&chosen| chosen).count();
    let quota = (problem.quota as usize / block).min(room);
    if let Some(draft) = draft {
        take_best(&mut chosen, draft, quota);
    }
    if let Some(rest) = target.or(draft) {
        take_best(&mut chosen, rest, room - quota);
    }
    chosen
}

/// Chooses the `count` best blocks that are not chosen yet.
fn take_best(chosen: &mut [bool], scores: &[f32], count: usize) {
    let mut order: Vec<usize> = (0..scores.len()).filter(|&block| !chosen[block]).collect();
    order.sort_by(|&a, &b| descending(scores[a], scores[b]).then(a.cmp(&b)));
    for &block in order.iter().take(count) {
        chosen[block] = true;
    }
}

/// The greater number first, NaN last.
fn descending(a: f32, b: f32) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The physical slot of a position.
fn slot_of(
    table: &SlotTable,
    arrays: &SelectArrays<'_>,
    sequence: usize,
    position: i32,
) -> Result<i32, Fault> {
    let (page_index, offset) = (position as u32 / table.page_size, position as u32 % table.page_size);
    if page_index >= table.table_width {
        return Err(Fault::Length);
    }
    let row = sequence * arrays.strides.table as usize;
    let page = arrays.block_table.map_or(-1, |pages| pages[row + page_index as usize]);
    match u32::try_from(page) {
        Ok(page) if page < table.pages => Ok((page * table.page_size + offset) as i32),
        _ => Err(Fault::Page),
    }
}

#[cfg(test)]
mod tests;
