//! Rows on their way to shared memory: keys and values by asynchronous copies, queries through registers.
//!
//! Each team has a ring of slots; a slot holds the keys and the values of one step, step `i` in slot `i % stages`.

use super::{
    params::Params,
    shape::Shape,
    smem::swizzled,
    task::Task,
    tokens::{Origin, in_step},
};
use crate::simt::{
    Global, Shared, WARP, cp_async,
    thread::{self, lane, thread_index},
};

/// A team's slots, in the order of its steps.
#[derive(Clone, Copy)]
pub(super) struct Ring {
    /// The slot of the step at hand: its keys, with its values behind.
    pub(super) slot: u32,
    /// The slot of the step before, which is the next to be filled once there has been one.
    pub(super) before: u32,
}

impl Ring {
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn first<G: Shape>() -> u32 {
        Shared::<u32>::at(G::PLAN.ring).byte(G::team() * G::PLAN.team)
    }

    /// That of the calling warp's team, at its first step.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_team<G: Shape>() -> Self {
        Self { slot: Self::first::<G>(), before: Self::first::<G>() + (G::TILE.stages - 1) * G::PLAN.slot }
    }

    /// Goes on to the next step.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn advance<G: Shape>(&mut self) {
        let next = self.slot + G::PLAN.slot;
        self.before = self.slot;
        self.slot = if next == Self::first::<G>() + G::TILE.stages * G::PLAN.slot {
            Self::first::<G>()
        } else {
            next
        };
    }
}

/// Members of each team that have query columns of the sequence.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn busy_members<G: Shape>(task: &Task) -> u32 {
    (task.columns - task.first_column).div_ceil(16).min(G::TILE.columns)
}

/// Starts the calling warp's copies of its team's step `step` to the slot at `slot`, where all members of the team take turns; hidden
/// tokens are zeros.
///
/// # Safety
/// The step's tokens have been handed over before a barrier, the slot is free, and the caches are as documented.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn fill<G: Shape>(params: &Params, task: &Task, step: u32, slot: u32) {
    // SAFETY: the caller's promise.
    unsafe { fill_in_turns::<G>(params, task, step, slot, G::member(), |turn| turn + G::TILE.columns) }
}

/// As [`fill`], where the members behind the first `busy` take turns, of which the calling warp is one.
///
/// # Safety
/// As [`fill`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn fill_idly<G: Shape>(params: &Params, task: &Task, busy: u32, step: u32, slot: u32) {
    // Taken as unknown, the turns are not counted ahead by all warps.
    let next = |turn| thread::opaque(turn + G::TILE.columns - busy);
    // SAFETY: the caller's promise.
    unsafe { fill_in_turns::<G>(params, task, step, slot, G::member() - busy, next) }
}

/// # Safety
/// As [`fill`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn fill_in_turns<G: Shape>(
    params: &Params,
    task: &Task,
    step: u32,
    slot: u32,
    mut turn: u32,
    next: impl Fn(u32) -> u32,
) {
    // Whole rows of a warp side by side.
    let rows_at_a_time = const { WARP / G::WORDS };
    // Taken as unknown, what follows from the lane is not kept in registers between the steps.
    let lane = thread::opaque(lane());
    let (row, word) = (lane / G::WORDS, lane % G::WORDS);
    let (places, origins) = (Shared::<u32>::at(G::PLAN.places), Shared::<u32>::at(G::PLAN.origins));
    let first = in_step::<G>(G::team(), step);
    let keys = params.key.item(u64::from(thread::opaque(task.kv_head)) * params.kv_head_stride)
        + u64::from(16 * word);
    let values = params.value.address().wrapping_sub(params.key.address());

    while turn < G::STEP / rows_at_a_time {
        let token = turn * rows_at_a_time + row;
        // SAFETY: the token is one of the step's, which have been handed over.
        let (place, origin) = unsafe { (places.load(first + token), origins.load(first + token)) };
        let valid = origin != Origin::HIDDEN;
        let from = keys.wrapping_add(u64::from(place) * u64::from(params.place_bytes));
        let to = slot + swizzled(token, word, G::STEP);
        // SAFETY: the slot holds the step's keys and values, and is free; a token that is not hidden lies in the caches.
        unsafe {
            cp_async::copy_16(to, from, valid);
            cp_async::copy_16(to + G::PLAN.slot / 2, from.wrapping_add(values), valid);
        }
        turn = next(turn);
    }
}

/// Words of queries that a thread brings at most.
const QUERY_WORDS: usize = 8;

/// The block's queries on their way to shared memory.
pub(super) struct Queries([[u32; 4]; QUERY_WORDS]);

impl Queries {
    /// None yet.
    pub(super) const NONE: Self = Self([[0; 4]; QUERY_WORDS]);

    /// Words that a thread brings.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    const fn words<G: Shape>() -> usize {
        const {
            let words = (G::COLUMNS * G::WORDS).div_ceil(G::THREADS) as usize;
            assert!(words <= QUERY_WORDS, "threads bring all queries");
            words
        }
    }

    /// Starts to load them; columns behind the last are zeros.
    ///
    /// # Safety
    /// The queries are as documented.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn start<G: Shape>(params: &Params, task: &Task) -> Self {
        let mut words = [[0; 4]; QUERY_WORDS];
        for i in 0..Self::words::<G>() {
            let index = thread_index() + i as u32 * G::THREADS;
            let column = task.first_column + index / G::WORDS;
            if index < G::COLUMNS * G::WORDS && column < task.columns {
                let (row, head) = task.row_and_head(params, column);
                let item = row * params.query_row_stride
                    + head * params.query_head_stride
                    + u64::from(index % G::WORDS * 8);
                // SAFETY: a column below the sequence's count has a row and a head.
                words[i] = unsafe { Global::<[u32; 4]>::at(params.query.item(item)).load(0) };
            }
        }
        Self(words)
    }

    /// Writes them to shared memory. Readers need a barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn store<G: Shape>(self) {
        for i in 0..Self::words::<G>() {
            let index = thread_index() + i as u32 * G::THREADS;
            if index < G::COLUMNS * G::WORDS {
                let at = swizzled(index / G::WORDS, index % G::WORDS, G::COLUMNS);
                // SAFETY: the region holds a row for each column.
                unsafe { Shared::<[u32; 4]>::at(G::PLAN.query + at).store(0, self.0[i]) };
            }
        }
    }
}
