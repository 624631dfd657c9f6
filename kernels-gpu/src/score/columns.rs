//! Groups of columns in the workspace, as the lanes of a warp write them.

use super::{
    layout,
    packed::{Format, PACKED_LOG2, pack, unpack},
    params::Fold,
    sequence::Sequence,
    smem::COLUMN_GROUP,
};
use crate::simt::{Global, thread::lane};

/// The exponentials of the columns `lane % 4 · 2` and that plus 1 of each group, at each eighth position from `lane / 4` on.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) format: Format,
    /// The address of those of the first group, at the first position.
    first: u64,
    /// Bytes from one group to the next.
    group_stride: u64,
}

impl Columns {
    /// The calling lane's.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_lane(workspace: &Fold, sequence: &Sequence) -> Self {
        let format = workspace.format();
        let column = if format.is_packed() { lane() % 4 } else { lane() % 4 * 2 };
        let word = ((lane() / 4) << format.words_log2()) + column;
        let positions = u64::from(sequence.length.next_multiple_of(layout::GRAIN));
        Self {
            format,
            first: workspace.exponentials.item(sequence.exponentials(workspace, 0) + u64::from(word)),
            group_stride: (positions * 4) << format.words_log2(),
        }
    }

    /// Whether the lane's columns have places.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn exist(&self) -> bool {
        lane() % 4 * 2 < 1 << self.format.width_log2
    }

    /// The address of those of `group` at `position`, which is counted from the lane's first one.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn address(&self, group: u32, position: u32) -> u64 {
        let position = (u64::from(position) * 4) << self.format.words_log2();
        self.first + u64::from(group) * self.group_stride + position
    }

    /// Bytes from one of the lane's positions to the next.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn step(&self) -> u64 {
        u64::from(COLUMN_GROUP * 4) << self.format.words_log2()
    }

    /// Stores the exponentials of `group` and a tile of `8 · H` positions from `position` on.
    ///
    /// # Safety
    /// The workspace has room for them, and no other warp accesses them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn store<const H: usize>(
        &self,
        group: u32,
        position: u32,
        exponentials: &[[f32; H]; 2],
    ) {
        if self.exist() {
            let mut address = self.address(group, position);
            for h in 0..H {
                // SAFETY: the caller's promise.
                unsafe { self.store_pair(address, [exponentials[0][h], exponentials[1][h]]) };
                address += self.step();
            }
        }
    }

    /// Multiplies the exponentials of `group` and the positions `begin .. end`, multiples of 8.
    ///
    /// # Safety
    /// The warp has stored them, and no other accesses them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn multiply(&self, group: u32, begin: u32, end: u32, factors: [f32; 2]) {
        let mut address = self.address(group, begin);
        let mut position = begin;
        while position < end && self.exist() {
            // SAFETY: the caller's promise; the lane itself has stored them.
            unsafe {
                let [low, high] = self.load_pair(address);
                let pair = [self.format.cut(low * factors[0]), self.format.cut(high * factors[1])];
                self.store_pair(address, pair);
            }
            address += self.step();
            position += COLUMN_GROUP;
        }
    }

    /// # Safety
    /// The address is one of the lane's.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn store_pair(&self, address: u64, pair: [f32; 2]) {
        // SAFETY: the caller's promise. Two columns' places are aligned to both.
        unsafe {
            match self.format.width_log2 {
                0 => Global::at(address).store(0, pair[0]),
                PACKED_LOG2 => Global::at(address).store(0, pack(pair)),
                _ => Global::at(address).store_pair(0, pair),
            }
        }
    }

    /// # Safety
    /// As [`Columns::store_pair`]; the lane has stored them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn load_pair(&self, address: u64) -> [f32; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            match self.format.width_log2 {
                0 => [Global::at(address).load(0), 0.0],
                PACKED_LOG2 => unpack(Global::at(address).load(0)),
                _ => [Global::at(address).load(0), Global::at(address).load(1)],
            }
        }
    }
}
