//! A group of columns in the workspace, as the lanes of a warp write it.

use super::{
    packed::{cut, pack, unpack},
    params::Fold,
    sequence::Sequence,
    smem::COLUMN_GROUP,
};
use crate::simt::{Global, thread::lane};

/// The exponentials of the columns `lane % 4 · 2` and that plus 1 of a group, for each eighth position from `lane / 4` on.
pub(super) struct Columns {
    exponentials: Global<u16>,
    /// The place of those at the sequence's position 0.
    first: u64,
    width_log2: u32,
}

impl Columns {
    /// The calling lane's columns of column group `group`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_group(workspace: &Fold, sequence: &Sequence, group: u32) -> Self {
        Self {
            exponentials: workspace.exponentials,
            first: sequence.exponentials(workspace, group) + u64::from(lane() % 4 * 2),
            width_log2: workspace.width_log2,
        }
    }

    /// Whether the lane's columns have places.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn exist(&self) -> bool {
        lane() % 4 * 2 < 1 << self.width_log2
    }

    /// The place of `position`, which is one of the lane's.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn place(&self, position: u32) -> u64 {
        self.first + (u64::from(position) << self.width_log2)
    }

    /// Stores the exponentials of a tile of `8 · H` positions from `position` on.
    ///
    /// # Safety
    /// The workspace has room for them, and no other warp accesses them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn store<const H: usize>(&self, position: u32, exponentials: &[[f32; H]; 2]) {
        if self.exist() {
            for h in 0..H {
                let place = self.place(position + 8 * h as u32 + lane() / 4);
                // SAFETY: the caller's promise.
                unsafe { self.store_pair(place, [exponentials[0][h], exponentials[1][h]]) };
            }
        }
    }

    /// Multiplies the exponentials of the positions `begin .. end`, multiples of 8.
    ///
    /// # Safety
    /// The warp has stored them, and no other accesses them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn multiply(&self, begin: u32, end: u32, factors: [f32; 2]) {
        let mut position = begin + lane() / 4;
        while position < end && self.exist() {
            let place = self.place(position);
            // SAFETY: the caller's promise; the lane itself has stored them.
            unsafe {
                let [low, high] = self.load_pair(place);
                self.store_pair(place, [cut(low * factors[0]), cut(high * factors[1])]);
            }
            position += COLUMN_GROUP;
        }
    }

    /// # Safety
    /// The workspace has the place and, where two columns have places, the next.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn store_pair(&self, place: u64, pair: [f32; 2]) {
        // SAFETY: the caller's promise; two columns' places begin at an even one.
        unsafe {
            if self.width_log2 == 0 {
                self.exponentials.store(place, pack(pair) as u16);
            } else {
                self.exponentials.pairs().store(place / 2, pack(pair));
            }
        }
    }

    /// # Safety
    /// As [`Columns::store_pair`]; the lane has stored them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn load_pair(&self, place: u64) -> [f32; 2] {
        // SAFETY: the caller's promise.
        unpack(unsafe {
            if self.width_log2 == 0 {
                self.exponentials.load(place).into()
            } else {
                self.exponentials.pairs().load(place / 2)
            }
        })
    }
}
