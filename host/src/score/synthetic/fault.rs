//! Faults to plant in an input: what only the device can see, and must mask and report.

use dustin_kernels::fault::Fault;

use super::ScoreInput;

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The page of one of the sequence's tokens lies behind the cache.
    PageBeyond,
    /// The page of one of the sequence's tokens is negative.
    PageNegative,
    /// The block tables are a page narrower than the longest sequence.
    LengthBeyond,
    /// The length is negative.
    LengthNegative,
    /// The slot lies behind the buffer.
    SlotBeyond,
    /// The sequence is longer than its part of the map.
    MapShort,
    /// The last sequence's part of the map ends before it starts.
    MapDescending,
    /// The last sequence's part of the map ends behind the map.
    MapBeyond,
    /// The first sequence's part of the map starts before the map.
    MapNegative,
    /// The last sequence's part of the map ends so far before it starts that the difference wraps to 1.
    MapWrapping,
}

impl Plant {
    /// Every fault.
    pub const ALL: [Self; 10] = [
        Self::PageBeyond,
        Self::PageNegative,
        Self::LengthBeyond,
        Self::LengthNegative,
        Self::SlotBeyond,
        Self::MapShort,
        Self::MapDescending,
        Self::MapBeyond,
        Self::MapNegative,
        Self::MapWrapping,
    ];

    /// What is reported of it.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::PageBeyond | Self::PageNegative => Fault::Page,
            Self::LengthBeyond | Self::LengthNegative => Fault::Length,
            Self::SlotBeyond => Fault::Slot,
            Self::MapShort
            | Self::MapDescending
            | Self::MapBeyond
            | Self::MapNegative
            | Self::MapWrapping => Fault::Map,
        }
    }
}

impl ScoreInput {
    /// Plants a fault in `sequence` (some: where they say). Whether it could: a page needs a sequence with tokens and
    /// queries, a slot needs an array of slots, and tables cannot be narrower than one page.
    pub fn plant(&mut self, plant: Plant, sequence: usize) -> bool {
        let batch = self.problem.batch as usize;
        if sequence >= batch {
            return false;
        }
        match plant {
            Plant::PageBeyond => return self.set_page(sequence, self.problem.kv.pages as i32),
            Plant::PageNegative => return self.set_page(sequence, -1),
            Plant::LengthBeyond => {
                let longest = self.lengths.iter().max().map_or(0, |&length| length.max(0).cast_unsigned());
                let pages = longest.div_ceil(self.problem.kv.page_size);
                if pages < 2 || pages > self.problem.table_width {
                    return false;
                }
                self.problem.table_width = pages - 1;
            }
            Plant::LengthNegative => self.lengths[sequence] = i32::MIN,
            Plant::SlotBeyond => match &mut self.slots {
                Some(slots) => slots[sequence] = self.problem.slots as i32,
                None => return false,
            },
            Plant::MapShort => {
                let (start, end) = (self.map_starts[sequence], self.map_starts[sequence + 1]);
                self.lengths[sequence] = end.saturating_sub(start).max(0) + 1;
            }
            Plant::MapDescending => self.map_starts[batch] = self.map_starts[batch - 1].saturating_sub(1),
            Plant::MapBeyond => self.map_starts[batch] = self.problem.map_capacity as i32 + 1,
            Plant::MapNegative => self.map_starts[0] = -1,
            Plant::MapWrapping => self.map_starts[batch - 1..].copy_from_slice(&[i32::MAX, i32::MIN]),
        }
        true
    }

    /// Replaces the page of the token in the sequence's middle.
    fn set_page(&mut self, sequence: usize, page: i32) -> bool {
        let length = self.lengths[sequence].max(0) as usize;
        let captured = self.slots.as_ref().is_none_or(|slots| slots[sequence] >= 0);
        let page_index = length / 2 / self.problem.kv.page_size as usize;
        if length == 0 || !captured || page_index >= self.problem.table_width as usize {
            return false;
        }
        self.block_table[sequence * self.strides.table as usize + page_index] = page;
        true
    }
}
