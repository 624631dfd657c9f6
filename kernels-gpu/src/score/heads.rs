//! The captured heads of each KV head, and their queries, in shared memory.

use super::{
    params::Source,
    smem::{COLUMN_GROUP, Plan},
};
use crate::simt::{
    Shared, WARP,
    thread::{lane, thread_index},
};

/// The columns that read one KV head.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// The KV head.
    pub(super) kv_head: u32,
    /// The first column.
    pub(super) first_column: u32,
    /// How many there are.
    pub(super) columns: u32,
    /// The first group of 16 columns; a KV head's columns fill groups of their own.
    pub(super) first_group: u32,
}

impl Group {
    /// Writes all groups to shared memory, one thread each.
    ///
    /// # Safety
    /// The source's table is as documented, and nobody reads the groups before the block's next barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn store_all(source: &Source, plan: &Plan, threads: u32) {
        // SAFETY: the caller's promise.
        let first_head = |group: u32| unsafe { source.groups.load(u64::from(2 * group + 1)) };
        let mut index = thread_index();
        while index < source.kv_groups {
            let mut first_group = 0;
            for before in 0..index {
                let columns = (first_head(before + 1) - first_head(before)) * source.tokens;
                first_group += columns.div_ceil(COLUMN_GROUP);
            }
            // SAFETY: the caller's promise; the plan has a word for each group.
            unsafe {
                let kv_head = source.groups.load(u64::from(2 * index));
                let first = first_head(index);
                let columns = (first_head(index + 1) - first) * source.tokens;
                let word = [kv_head, first * source.tokens, columns, first_group];
                Shared::<[u32; 4]>::at(plan.groups).store(index, word);
            }
            index += threads;
        }
    }

    /// Group `index`.
    ///
    /// # Safety
    /// The groups are stored and visible, and `index` is one of them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn load(plan: &Plan, index: u32) -> Self {
        // SAFETY: the caller's promise.
        let [kv_head, first_column, columns, first_group] =
            unsafe { Shared::<[u32; 4]>::at(plan.groups).load(index) };
        Self { kv_head, first_column, columns, first_group }
    }

    /// Groups of 16 columns.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn column_groups(&self) -> u32 {
        self.columns.div_ceil(COLUMN_GROUP)
    }
}

/// The words of column group `group` that the calling lane multiplies with word `word` of its keys: rows `lane / 4` and
/// that plus 8 of the products, two steps of 16 items.
///
/// # Safety
/// The queries are stored and visible, and group and word are among them.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn load_queries<const J: usize>(plan: &Plan, group: u32, word: u32) -> [[u32; 4]; 2] {
    let queries = Shared::<[u32; 4]>::at(plan.queries);
    let place = (group * J as u32 + word) * 2 * WARP + lane();
    // SAFETY: the caller's promise.
    unsafe { [queries.load(place), queries.load(place + WARP)] }
}

/// Writes the queries of slot `slot` to shared memory. Columns that only fill up a group are zero.
///
/// # Safety
/// The source's arrays are as documented, the groups are stored and visible, and nobody reads the queries before the
/// block's next barrier.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn store_queries<const J: usize>(source: &Source, plan: &Plan, slot: u32, threads: u32) {
    let queries = Shared::<[u32; 4]>::at(plan.queries);
    for index in 0..source.kv_groups {
        // SAFETY: the caller's promise.
        let group = unsafe { Group::load(plan, index) };
        let heads = (group.columns / source.tokens.max(1)).max(1);
        let first_head = group.first_column / source.tokens.max(1);
        let items = |column: u32, item: u32| {
            if column >= group.columns {
                return [0; 4];
            }
            let (token, head) = (column / heads, first_head + column % heads);
            let row = u64::from(slot) * source.query_slot_stride
                + u64::from(token) * source.query_token_stride
                + u64::from(head) * source.query_head_stride;
            // SAFETY: slot, token and head are inside the buffer.
            unsafe { source.query.words().load((row + u64::from(item)) / 8) }
        };
        let mut place = thread_index();
        while place < group.column_groups() * J as u32 * WARP {
            let (word, lane) = (place / WARP, place % WARP);
            let column = word / J as u32 * COLUMN_GROUP + lane / 4;
            let item = word % J as u32 * 32 + lane % 4 * 8;
            let (low, high) = (items(column, item), items(column + 8, item));
            let first = (group.first_group * J as u32 + word) * 2 * WARP + lane;
            // SAFETY: the plan has two words for each lane and word of each group.
            unsafe {
                queries.store(first, [low[0], high[0], low[1], high[1]]);
                queries.store(first + WARP, [low[2], high[2], low[3], high[3]]);
            }
            place += threads;
        }
    }
}
