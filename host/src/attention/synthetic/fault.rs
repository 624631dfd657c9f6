//! Faults to plant in an input: what only the device can see, and must mask and report.

use dustin_kernels::attention::params::EVERYTHING;

use super::AttentionInput;
use crate::attention::problem::{Confirmed, Entries, Sets};

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The page of one of the sequence's tokens lies behind the cache.
    PageBeyond,
    /// The page of one of the sequence's tokens is negative.
    PageNegative,
    /// The first entry of the set stands for positions behind the sequence, or for slots behind the cache.
    PositionBeyond,
    /// The first entry of the set is negative.
    PositionNegative,
    /// The set is larger than its capacity.
    SetSizeBeyond,
    /// The set's size is negative.
    SetSizeNegative,
    /// The length exceeds the block table, and so does a position of the set.
    LengthBeyond,
    /// The length is negative.
    LengthNegative,
    /// The last sequence ends before it starts.
    RowsDescending,
    /// The last sequence has more rows than the capacity.
    RowsAboveCapacity,
    /// The last sequence ends behind the batch's rows.
    RowsBeyond,
    /// The first sequence starts before the batch's rows.
    RowsNegative,
    /// The last sequence ends so far before it starts that the difference wraps to one row.
    RowsWrapping,
}

impl Plant {
    /// Every fault.
    pub const ALL: [Self; 13] = [
        Self::PageBeyond,
        Self::PageNegative,
        Self::PositionBeyond,
        Self::PositionNegative,
        Self::SetSizeBeyond,
        Self::SetSizeNegative,
        Self::LengthBeyond,
        Self::LengthNegative,
        Self::RowsDescending,
        Self::RowsAboveCapacity,
        Self::RowsBeyond,
        Self::RowsNegative,
        Self::RowsWrapping,
    ];
}

impl AttentionInput {
    /// Plants a fault in `sequence` (faults of rows: where they say; of sets: in that of the first KV head). Whether it could: an entry or
    /// a page needs a sequence that has rows and, unless it is the page of an own row, reads confirmed tokens.
    pub fn plant(&mut self, plant: Plant, sequence: usize) -> bool {
        let batch = self.problem.batch as usize;
        if sequence >= batch {
            return false;
        }
        let has_rows = self.row_starts[sequence + 1] > self.row_starts[sequence];
        let set = sequence * self.strides.set as usize;
        let sets = self.problem.sets();
        let listed = sets.filter(|_| has_rows && self.set_sizes[self.size_of(sequence)] > 0);
        match (plant, listed) {
            (Plant::PageBeyond, _) if has_rows => {
                return self.set_page(sequence, self.problem.kv.pages as i32);
            }
            (Plant::PageNegative, _) if has_rows => return self.set_page(sequence, -1),
            (Plant::PositionBeyond, Some(sets)) => self.set[set] = self.beyond(&sets, sequence),
            (Plant::PositionNegative, Some(_)) => self.set[set] = -7,
            (Plant::SetSizeBeyond, _) => return self.set_size(sequence, |sets| sets.capacity as i32 + 1),
            (Plant::SetSizeNegative, _) => return self.set_size(sequence, |_| EVERYTHING - 1),
            (Plant::LengthBeyond, _) if has_rows => {
                let capacity = self.problem.table_tokens() as i32;
                // What is read without entries must not be walked to its end.
                let beyond = if sets.is_some() { capacity.saturating_add(16) } else { i32::MAX };
                self.lengths[sequence] = beyond;
                if let Some(Sets { block, entries: Entries::Positions, .. }) = listed {
                    self.set[set] = capacity / block as i32;
                }
            }
            (Plant::LengthNegative, _) => self.lengths[sequence] = i32::MIN,
            (Plant::RowsDescending, _) => self.row_starts[batch] = self.row_starts[batch - 1] - 1,
            (Plant::RowsAboveCapacity, _) => {
                self.row_starts[batch] = self.row_starts[batch - 1] + self.problem.rows as i32 + 1;
            }
            (Plant::RowsBeyond, _) => self.row_starts[batch] = self.problem.total_rows as i32 + 1,
            (Plant::RowsNegative, _) => self.row_starts[0] = -1,
            (Plant::RowsWrapping, _) => self.row_starts[batch - 1..].copy_from_slice(&[i32::MAX, i32::MIN]),
            _ => return false,
        }
        true
    }

    /// Where the size of the sequence's first set stands.
    fn size_of(&self, sequence: usize) -> usize {
        sequence * self.problem.sets_per_sequence() as usize
    }

    /// Replaces the size of the sequence's first set, if there are sets.
    fn set_size(&mut self, sequence: usize, size: impl Fn(&Sets) -> i32) -> bool {
        let at = self.size_of(sequence);
        self.problem.sets().is_some_and(|sets| {
            self.set_sizes[at] = size(&sets);
            true
        })
    }

    /// An entry that stands for the first block behind the sequence, or behind the cache.
    fn beyond(&self, sets: &Sets, sequence: usize) -> i32 {
        let kv = &self.problem.kv;
        match sets.entries {
            Entries::Positions => (self.lengths[sequence] as u32).div_ceil(sets.block) as i32,
            Entries::Slots => (kv.pages * kv.page_size / sets.block) as i32,
        }
    }

    /// Replaces the page of the first confirmed position that the block table finds, or of the first own row where there is none.
    fn set_page(&mut self, sequence: usize, page: i32) -> bool {
        let length = self.lengths[sequence];
        let size = self.set_sizes.get(self.size_of(sequence)).copied();
        let position = match (self.problem.confirmed, size) {
            (Confirmed::Sets(Sets { entries: Entries::Slots, .. }), Some(1..)) => length,
            (Confirmed::Sets(sets), Some(1..)) => {
                self.set[sequence * self.strides.set as usize].saturating_mul(sets.block as i32)
            }
            (Confirmed::Sets(_), Some(EVERYTHING)) | (Confirmed::Everything, _) if length > 0 => 0,
            (Confirmed::Window { sinks: 1.., .. }, _) if length > 0 => 0,
            _ => length,
        };
        if !(0..=length).contains(&position) {
            return false;
        }
        let page_index = position as usize / self.problem.kv.page_size as usize;
        if page_index >= self.problem.table_width as usize {
            return false;
        }
        self.block_table[sequence * self.strides.table as usize + page_index] = page;
        true
    }
}
