//! One sequence of the batch: which of its blocks are taken unseen, and which are searched for.

use std::ops::Range;

use dustin_kernels::{fault::Fault, select::params::EVERYTHING};

use super::{
    best::{Best, Floor, Key, block, keep_best},
    scores::{self, block_scores},
};
use crate::select::{
    arrays::SelectArrays,
    problem::{Fallback, SelectProblem, SlotTable},
};

/// Positions whose scores are made up at a time: they stay in the first cache.
const TILE: u32 = 2048;

/// Memory of one thread, kept from launch to launch.
#[derive(Debug, Default)]
pub(in crate::cpu) struct Scratch {
    scores: scores::Scratch,
    best: Best,
}

/// One sequence of the batch. Sinks and recent positions never meet where there is anything to choose: they have at most
/// as many blocks as the budget, and the sequence has more.
#[derive(Debug)]
pub(super) struct Sequence<'a> {
    index: u32,
    fault: Option<Fault>,
    everything: bool,
    length: u32,
    /// The first blocks, taken unseen.
    leading: Range<u32>,
    /// The last blocks, taken unseen.
    trailing: Range<u32>,
    /// What is searched for among the others, one after the other.
    passes: [Pass<'a>; 2],
    /// The blocks found so far, ascending.
    chosen: Vec<u32>,
    /// The best of each chunk.
    found: Vec<Vec<Key>>,
    floor: Floor,
}

/// The search for the best blocks of one map.
#[derive(Clone, Copy, Debug, Default)]
struct Pass<'a> {
    /// The sequence's part of the map.
    map: &'a [f32],
    /// Blocks to choose.
    count: usize,
}

impl<'a> Sequence<'a> {
    /// Sequence `index`, looked at as far as is needed to know what to search for.
    pub(super) fn new(problem: &SelectProblem, arrays: &SelectArrays<'a>, index: u32) -> Self {
        let at = index as usize;
        let nothing = Self {
            index,
            fault: None,
            everything: false,
            length: 0,
            leading: 0..0,
            trailing: 0..0,
            passes: [Pass::default(); 2],
            chosen: Vec::new(),
            found: Vec::new(),
            floor: Floor::default(),
        };
        let Ok(length) = u32::try_from(arrays.lengths[at]) else {
            return Self { fault: Some(Fault::Length), ..nothing };
        };
        if length == 0 {
            return nothing;
        }
        if length <= problem.everything {
            return Self { everything: true, ..nothing };
        }
        let starts = [arrays.map_starts[at], arrays.map_starts[at + 1]];
        let Some(part) = map_part(starts, length, problem.map_capacity) else {
            return Self { fault: Some(Fault::Map), ..nothing };
        };
        let blocks = length.div_ceil(problem.block);
        if length <= problem.budget {
            return Self { length, leading: 0..blocks, ..nothing };
        }

        let slot = arrays.target_slots.map(|slots| slots[at]);
        let beyond = |slot: i32| slot >= 0 && slot.cast_unsigned() >= problem.slots.unwrap_or(0);
        let fault = slot.is_some_and(beyond).then_some(Fault::Slot);
        let nothing = Self { fault, ..nothing };
        let has_target = fault.is_none() && slot.is_none_or(|slot| slot >= 0);
        if problem.maps.target() && !has_target && problem.without_target == Fallback::Everything {
            return Self { everything: true, ..nothing };
        }
        let leading = 0..problem.sinks.div_ceil(problem.block);
        let trailing = match problem.recent {
            0 => blocks..blocks,
            recent => (length - recent) / problem.block..blocks,
        };
        let room = (problem.budget / problem.block) as usize - leading.len() - trailing.len();
        let quota = room.min((problem.quota / problem.block) as usize);
        let draft = arrays.draft.map(|map| &map[part.clone()]);
        let target = arrays.target.filter(|_| has_target).map(|map| &map[part]);
        let passes = match (draft, target) {
            (Some(draft), Some(target)) => {
                [Pass { map: draft, count: quota }, Pass { map: target, count: room - quota }]
            }
            (Some(map), None) | (None, Some(map)) => [Pass { map, count: room }, Pass::default()],
            (None, None) => [Pass::default(); 2],
        };
        Self { length, leading, trailing, passes, ..nothing }
    }

    /// The word of what is wrong with the sequence; 0 if nothing is.
    pub(super) fn status(&self) -> u64 {
        self.fault.map_or(0, |fault| fault.word(self.index))
    }

    /// The tasks of a pass: chunks of about `chunk` positions.
    pub(super) fn tasks(
        &mut self,
        problem: &SelectProblem,
        pass: usize,
        chunk: u32,
    ) -> impl Iterator<Item = Task<'_>> + Send {
        let pass = self.passes[pass];
        let step = (chunk / problem.block).max(1);
        let candidates = if pass.count > 0 { self.leading.end..self.trailing.start } else { 0..0 };
        self.found.clear();
        self.found.resize_with(candidates.len().div_ceil(step as usize), Vec::new);
        self.floor.clear();
        let (taken, floor) = (&self.chosen[..], &self.floor);
        let chunks = candidates.clone().step_by(step as usize);
        chunks.zip(&mut self.found).map(move |(first, found)| {
            let blocks = first..first.saturating_add(step).min(candidates.end);
            Task { pass, taken, blocks, found, floor }
        })
    }

    /// Chooses the best that the pass's tasks have found.
    pub(super) fn choose(&mut self, pass: usize) {
        let mut keys = self.found.concat();
        keep_best(&mut keys, self.passes[pass].count);
        self.chosen.extend(keys.into_iter().map(block));
        self.chosen.sort_unstable();
    }

    /// Writes the sequence's set, and its slots if they are asked for, and gives its size.
    pub(super) fn write(
        &mut self,
        problem: &SelectProblem,
        arrays: &SelectArrays<'_>,
        set: &mut [i32],
        slots: Option<&mut [i32]>,
    ) -> i32 {
        if self.everything {
            return EVERYTHING;
        }
        let blocks = self.leading.clone().chain(self.chosen.iter().copied()).chain(self.trailing.clone());
        let positions = blocks.flat_map(|block| {
            let first = block * problem.block;
            first..(first + problem.block).min(self.length)
        });
        let mut size = 0;
        for (entry, position) in set.iter_mut().zip(positions) {
            *entry = position.cast_signed();
            size += 1;
        }
        if let (Some(table), Some(pages), Some(slots)) = (&problem.table, arrays.block_table, slots) {
            let pages = &pages[self.index as usize * arrays.strides.table as usize..];
            for (slot, position) in slots.iter_mut().zip(&set[..size]) {
                *slot = slot_of(table, pages, position.cast_unsigned()).unwrap_or_else(|fault| {
                    self.fault = self.fault.max(Some(fault));
                    -1
                });
            }
        }
        size as i32
    }
}

/// The sequence's part of the maps, as far as its length; nothing if it is not as it must be.
fn map_part([first, end]: [i32; 2], length: u32, map_capacity: u32) -> Option<Range<usize>> {
    let (first, end) = (u32::try_from(first).ok()?, u32::try_from(end).ok()?);
    let holds = end <= map_capacity && end.checked_sub(first)? >= length;
    holds.then_some(first as usize..(first + length) as usize)
}

fn slot_of(table: &SlotTable, pages: &[i32], position: u32) -> Result<i32, Fault> {
    let page_index = position / table.page_size;
    if page_index >= table.table_width {
        return Err(Fault::Length);
    }
    match u32::try_from(pages[page_index as usize]) {
        Ok(page) if page < table.pages => {
            Ok((page * table.page_size + position % table.page_size).cast_signed())
        }
        _ => Err(Fault::Page),
    }
}

/// The search for the best blocks of one chunk.
pub(super) struct Task<'a> {
    pass: Pass<'a>,
    /// Blocks that an earlier pass has chosen, ascending.
    taken: &'a [u32],
    blocks: Range<u32>,
    found: &'a mut Vec<Key>,
    floor: &'a Floor,
}

impl Task<'_> {
    /// Runs the task, which leaves the keys of the chunk's best blocks.
    pub(super) fn run(self, problem: &SelectProblem, scratch: &mut Scratch) {
        let Scratch { scores, best } = scratch;
        best.start(self.pass.count);
        let step = (TILE / problem.block).max(1);
        for first in self.blocks.clone().step_by(step as usize) {
            let blocks = first..(first + step).min(self.blocks.end);
            let scores = block_scores(problem, self.pass.map, blocks, scores);
            best.look_at(scores, first, self.taken, self.floor);
        }
        self.found.extend_from_slice(best.finish(self.floor));
    }
}
