//! Faults to plant in an input: what only the device can see, and must report.

use super::SelectInput;

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The length is negative.
    LengthNegative,
    /// The length exceeds the sequence's part of the maps by one.
    LengthBeyond,
    /// The length is the largest that can be written.
    LengthHuge,
    /// The last sequence's part of the maps ends before it starts.
    MapDescending,
    /// The last sequence's part of the maps ends behind them.
    MapBeyond,
    /// The first sequence's part of the maps starts before them.
    MapNegative,
    /// The last sequence's part ends so far before it starts that the difference wraps to a large part.
    MapWrapping,
    /// The slot lies just behind the buffer of captured queries.
    SlotBeyond,
    /// Every other page of the sequence's table lies behind the cache.
    PageBeyond,
    /// Every other page of the sequence's table is negative.
    PageNegative,
}

impl Plant {
    /// Every fault.
    pub const ALL: [Self; 10] = [
        Self::LengthNegative,
        Self::LengthBeyond,
        Self::LengthHuge,
        Self::MapDescending,
        Self::MapBeyond,
        Self::MapNegative,
        Self::MapWrapping,
        Self::SlotBeyond,
        Self::PageBeyond,
        Self::PageNegative,
    ];
}

impl SelectInput {
    /// Plants a fault in `sequence` (faults of the maps' parts: where they say). Whether it could: pages need a table,
    /// slots an array of them.
    pub fn plant(&mut self, plant: Plant, sequence: usize) -> bool {
        let batch = self.problem.batch as usize;
        if sequence >= batch {
            return false;
        }
        match plant {
            Plant::LengthNegative => self.lengths[sequence] = i32::MIN,
            Plant::LengthBeyond => {
                let part = self.map_starts[sequence + 1].checked_sub(self.map_starts[sequence]);
                let Some(length) = part.and_then(|part| part.checked_add(1)) else { return false };
                self.lengths[sequence] = length;
            }
            Plant::LengthHuge => self.lengths[sequence] = i32::MAX,
            Plant::MapDescending => self.map_starts[batch] = self.map_starts[batch - 1].saturating_sub(1),
            Plant::MapBeyond => {
                self.map_starts[batch] = self.problem.map_capacity.cast_signed().saturating_add(1)
            }
            Plant::MapNegative => self.map_starts[0] = -1,
            Plant::MapWrapping => self.map_starts[batch - 1..].copy_from_slice(&[i32::MAX, i32::MIN]),
            Plant::SlotBeyond => {
                let (Some(count), Some(slots)) = (self.problem.slots, &mut self.target_slots) else {
                    return false;
                };
                slots[sequence] = count.cast_signed();
            }
            Plant::PageBeyond | Plant::PageNegative => {
                let (Some(table), Some(pages)) = (self.problem.table, &mut self.block_table) else {
                    return false;
                };
                let bad = if plant == Plant::PageNegative { -1 } else { table.pages as i32 };
                let row = &mut pages[sequence * self.strides.table as usize..][..table.table_width as usize];
                row.iter_mut().step_by(2).for_each(|page| *page = bad);
            }
        }
        true
    }
}
