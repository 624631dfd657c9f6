//! Faults to plant in a step: what only the device can see, and must mask and report.

use super::StepInput;

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The page of the sequence's first row lies behind the cache.
    PageBeyond,
    /// The page of the sequence's last row is negative.
    PageNegative,
    /// The sequence's rows lie just behind its block table.
    LengthBeyond,
    /// The length is the largest that can be written.
    LengthHuge,
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
    pub const ALL: [Self; 10] = [
        Self::PageBeyond,
        Self::PageNegative,
        Self::LengthBeyond,
        Self::LengthHuge,
        Self::LengthNegative,
        Self::RowsDescending,
        Self::RowsAboveCapacity,
        Self::RowsBeyond,
        Self::RowsNegative,
        Self::RowsWrapping,
    ];
}

impl StepInput {
    /// Plants a fault in `sequence` (faults of rows: where they say). Whether it could: pages and positions need a sequence
    /// with rows.
    pub fn plant(&mut self, plant: Plant, sequence: usize) -> bool {
        let (step, batch) = (&self.step, self.step.batch as usize);
        if sequence >= batch {
            return false;
        }
        let rows = self.row_starts[sequence + 1].saturating_sub(self.row_starts[sequence]);
        let length = self.lengths[sequence];
        match plant {
            Plant::PageBeyond if rows > 0 => {
                return self.set_page(sequence, length, step.kv.pages.cast_signed());
            }
            Plant::PageNegative if rows > 0 => {
                return self.set_page(sequence, length.saturating_add(rows - 1), -1);
            }
            Plant::LengthBeyond if rows > 0 => {
                self.lengths[sequence] = (step.table_width * step.kv.page_size).cast_signed();
            }
            Plant::LengthHuge if rows > 0 => self.lengths[sequence] = i32::MAX,
            Plant::LengthNegative => self.lengths[sequence] = i32::MIN,
            Plant::RowsDescending => self.row_starts[batch] = self.row_starts[batch - 1] - 1,
            Plant::RowsAboveCapacity => {
                self.row_starts[batch] = self.row_starts[batch - 1] + step.rows.cast_signed() + 1;
            }
            Plant::RowsBeyond => self.row_starts[batch] = step.total_rows.cast_signed() + 1,
            Plant::RowsNegative => self.row_starts[0] = -1,
            Plant::RowsWrapping => self.row_starts[batch - 1..].copy_from_slice(&[i32::MAX, i32::MIN]),
            _ => return false,
        }
        true
    }

    /// Replaces the page of `position`, if the sequence's table has it.
    fn set_page(&mut self, sequence: usize, position: i32, page: i32) -> bool {
        let page_index = position.cast_unsigned() / self.step.kv.page_size;
        if page_index >= self.step.table_width {
            return false;
        }
        self.block_table[sequence * self.table_stride as usize + page_index as usize] = page;
        true
    }
}
