//! Faults to plant in an input: what only the device can see, and must mask and report.

use super::AttentionInput;

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The page of one of the sequence's tokens lies behind the cache.
    PageBeyond,
    /// The page of one of the sequence's tokens is negative.
    PageNegative,
    /// A position of the set is the sequence's length.
    PositionBeyond,
    /// A position of the set is negative.
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
    /// Plants a fault in `sequence` (faults of rows: where they say). Whether it could: a position or a page needs a
    /// sequence that has rows and, unless it is the page of an own row, a set.
    pub fn plant(&mut self, plant: Plant, sequence: usize) -> bool {
        let batch = self.problem.batch as usize;
        if sequence >= batch {
            return false;
        }
        let has_rows = self.row_starts[sequence + 1] > self.row_starts[sequence];
        let has_set = self.set_sizes[sequence] > 0;
        let set = sequence * self.strides.set as usize;
        match plant {
            Plant::PageBeyond if has_rows => return self.set_page(sequence, self.problem.kv.pages as i32),
            Plant::PageNegative if has_rows => return self.set_page(sequence, -1),
            Plant::PositionBeyond if has_rows && has_set => self.set[set] = self.lengths[sequence],
            Plant::PositionNegative if has_rows && has_set => self.set[set] = -7,
            Plant::SetSizeBeyond => self.set_sizes[sequence] = self.problem.set_capacity as i32 + 1,
            Plant::SetSizeNegative => self.set_sizes[sequence] = -1,
            Plant::LengthBeyond if has_rows => {
                let capacity = (self.problem.table_width * self.problem.kv.page_size) as i32;
                self.lengths[sequence] = capacity.saturating_add(16);
                if has_set {
                    self.set[set] = capacity;
                }
            }
            Plant::LengthNegative => self.lengths[sequence] = i32::MIN,
            Plant::RowsDescending => self.row_starts[batch] = self.row_starts[batch - 1] - 1,
            Plant::RowsAboveCapacity => {
                self.row_starts[batch] = self.row_starts[batch - 1] + self.problem.rows as i32 + 1;
            }
            Plant::RowsBeyond => self.row_starts[batch] = self.problem.total_rows as i32 + 1,
            Plant::RowsNegative => self.row_starts[0] = -1,
            Plant::RowsWrapping => self.row_starts[batch - 1..].copy_from_slice(&[i32::MAX, i32::MIN]),
            _ => return false,
        }
        true
    }

    /// Replaces the page of the set's first position, or of the first own row where the set is empty.
    fn set_page(&mut self, sequence: usize, page: i32) -> bool {
        let position = if self.set_sizes[sequence] > 0 {
            self.set[sequence * self.strides.set as usize]
        } else {
            self.lengths[sequence]
        };
        if !(0..=self.lengths[sequence]).contains(&position) {
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
