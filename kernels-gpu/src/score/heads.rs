//! The captured heads of each KV head, and their queries, in shared memory.

use super::{
    params::{Cache, Slots, Source},
    smem::COLUMN_GROUP,
};
use crate::simt::{
    Shared, WARP,
    thread::{lane, thread_index},
};

/// The columns that read one KV head.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// The first column.
    pub(super) first_column: u32,
    /// How many there are.
    pub(super) columns: u32,
    /// The first group of 8 columns; a KV head's columns fill groups of their own.
    pub(super) first_group: u32,
}

/// A table of groups in shared memory, and the queries beside it.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    /// Offset of the table.
    pub(super) table: u32,
    /// Offset of the queries.
    pub(super) queries: u32,
    /// Threads in the block.
    pub(super) threads: u32,
}

impl Heads {
    /// Writes the groups of `source`, one thread each.
    ///
    /// # Safety
    /// The source's table is as documented, and nobody reads the groups before the block's next barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn store_groups(self, cache: &Cache, tokens: u32, source: &Source) {
        // SAFETY: the caller's promise.
        let first_head = |group: u32| unsafe { source.groups.load(u64::from(2 * group + 1)) };
        let mut index = thread_index();
        while index < source.kv_groups {
            // SAFETY: the caller's promise.
            let kv_head = unsafe { source.groups.load(u64::from(2 * index)) };
            let (first, next) = (first_head(index), first_head(index + 1));
            let mut first_group = 0;
            for before in 0..index {
                let columns = (first_head(before + 1) - first_head(before)) * tokens;
                first_group += columns.div_ceil(COLUMN_GROUP);
            }
            let keys = source.key.item(u64::from(kv_head) * cache.kv_head_stride);
            let columns = (next - first) * tokens;
            // SAFETY: there are two words for each group.
            unsafe {
                let table = Shared::<[u32; 4]>::at(self.table);
                table.store(2 * index, [keys as u32, (keys >> 32) as u32, first * tokens, columns]);
                table.store(2 * index + 1, [first_group, 0, 0, 0]);
            }
            index += self.threads;
        }
    }

    /// Group `index`.
    ///
    /// # Safety
    /// The groups are stored and visible, and `index` is one of them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn group(self, index: u32) -> Group {
        let table = Shared::<[u32; 4]>::at(self.table);
        // SAFETY: the caller's promise.
        let ([_, _, first_column, columns], [first_group, ..]) =
            unsafe { (table.load(2 * index), table.load(2 * index + 1)) };
        Group { first_column, columns, first_group }
    }

    /// The address of the keys of group `index`: of its KV head's part of page 0.
    ///
    /// # Safety
    /// As [`Heads::group`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn keys(self, index: u32) -> u64 {
        // SAFETY: the caller's promise.
        let [low, high, ..] = unsafe { Shared::<[u32; 4]>::at(self.table).load(2 * index) };
        u64::from(low) | u64::from(high) << 32
    }

    /// What the calling lane multiplies items `32 · j` to `32 · j + 31` of keys by, for column `lane / 4` of group `group`: the
    /// second operands of two products.
    ///
    /// # Safety
    /// The queries are stored and visible, and the group and `j` are among them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn query<const J: usize>(self, group: u32, j: u32) -> [[u32; 2]; 2] {
        let place = (group * J as u32 + j) * WARP + lane();
        // SAFETY: the caller's promise.
        let [a, b, c, d] = unsafe { Shared::<[u32; 4]>::at(self.queries).load(place) };
        [[a, b], [c, d]]
    }

    /// Writes the queries that slot `slot` holds for `source`. Columns that only fill up a group are zero.
    ///
    /// # Safety
    /// The source's arrays are as documented, the groups are stored and visible, and nobody reads the queries before the
    /// block's next barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn store_queries<const J: usize>(self, slots: &Slots, source: &Source, slot: u32) {
        let queries = Shared::<[u32; 4]>::at(self.queries);
        let tokens = slots.tokens.max(1);
        for index in 0..source.kv_groups {
            // SAFETY: the caller's promise.
            let group = unsafe { self.group(index) };
            let heads = (group.columns / tokens).max(1);
            let first_head = group.first_column / tokens;
            let mut place = thread_index();
            while place < group.columns.div_ceil(COLUMN_GROUP) * J as u32 * WARP {
                let (word, lane) = (place / WARP, place % WARP);
                let column = word / J as u32 * COLUMN_GROUP + lane / 4;
                let mut pairs = [0; 4];
                if column < group.columns {
                    let (token, head) = (column / heads, first_head + column % heads);
                    let row = u64::from(slot) * slots.slot_stride
                        + u64::from(token) * slots.token_stride
                        + u64::from(head) * slots.head_stride;
                    let first = (row + u64::from(word % J as u32 * 32)) / 2 + u64::from(lane % 4);
                    for i in 0..4 {
                        // SAFETY: slot, token and head are inside the buffer.
                        pairs[i] = unsafe { source.query.pairs().load(first + 4 * i as u64) };
                    }
                }
                // SAFETY: there is a word for each lane and `j` of each group.
                unsafe { queries.store(group.first_group * J as u32 * WARP + place, pairs) };
                place += self.threads;
            }
        }
    }
}
