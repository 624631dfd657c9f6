//! What kernels report of the arrays that only the device can see.

/// What the device found wrong with the arrays that only it can see.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A position of the set is negative, or at or beyond the sequence's confirmed length.
    Position = 1,
    /// A position lies beyond the sequence's block table, or the length is negative.
    Length = 2,
    /// A block table names a page outside the cache, or a set a slot.
    Page = 3,
    /// A set's size is above the capacity, or negative and not the flag EVERYTHING.
    SetSize = 4,
    /// A sequence's rows are descending, more than the capacity, or outside the batch's rows.
    Rows = 5,
    /// A sequence's captured queries lie in a slot outside the buffer.
    Slot = 6,
    /// A sequence's part of the map is shorter than its length, or outside the map.
    Map = 7,
    /// A list of accepted rows does not ascend, names a row that the sequence does not have, or its count is negative or above
    /// the capacity; or the row to capture is none that the sequence has.
    Accepted = 8,
    /// A layer's cache has no address, or one that is not a multiple of 16. The layer's number stands where the sequence's
    /// does of other faults.
    Layer = 9,
    /// A draft's token lies outside the vocabulary.
    Token = 10,
    /// A row continues one that is not before it, or the first row continues one.
    Parent = 11,
    /// A score is NaN, or a row of scores has no token of any weight.
    Score = 12,
    /// A temperature is negative or NaN.
    Temperature = 13,
    /// A row of the draft's scores is named that there is not.
    DraftRow = 14,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 14] = [
        Fault::Position,
        Fault::Length,
        Fault::Page,
        Fault::SetSize,
        Fault::Rows,
        Fault::Slot,
        Fault::Map,
        Fault::Accepted,
        Fault::Layer,
        Fault::Token,
        Fault::Parent,
        Fault::Score,
        Fault::Temperature,
        Fault::DraftRow,
    ];

    /// The status word of this fault in `sequence` (of [`Fault::Layer`]: in that layer): kind in the high half, sequence in
    /// the low half. The highest word stays, so that the word is the same whatever the order of the blocks.
    #[must_use]
    pub const fn word(self, sequence: u32) -> u64 {
        (self as u64) << 32 | sequence as u64
    }

    /// The fault and the sequence, or the layer, of a status word; nothing for 0 or for a word that no kernel writes.
    #[must_use]
    pub fn parse(word: u64) -> Option<(Fault, u32)> {
        let fault = Self::ALL.into_iter().find(|&fault| fault as u64 == word >> 32)?;
        Some((fault, word as u32))
    }
}
