//! From a token's index to the place of its rows: the set's entry, the block table's page, and the ring of places and
//! origins through which a team learns of them.

use super::{
    params::Params,
    shape::Shape,
    share::{Share, Source, first_of_set},
    task::Task,
};
use crate::{
    fault::Fault,
    simt::{
        Global, Shared, WARP,
        thread::{self, block_y, block_z, lane},
    },
};

/// What a token is, as a team learns it.
pub(super) struct Origin;

impl Origin {
    /// None that could be read: hidden from all columns.
    pub(super) const HIDDEN: u32 = 0;
    /// A confirmed one: all columns see it.
    pub(super) const CONFIRMED: u32 = 1;

    /// One of the step's own rows, in a step of the team whose first row has this number: steps hold own rows or others.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    const fn own(first: u32) -> u32 {
        first + 2
    }

    /// The first row of a team's step, by the greatest of its tokens' origins; nothing where it is no step of own rows.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn first_row(greatest: u32) -> Option<u32> {
        greatest.checked_sub(2)
    }
}

/// A token on its way from its index in the sequence's list to the place of its rows. Each part of the way ends with a load,
/// which the next part waits for: between them there is time for other work.
#[derive(Clone, Copy)]
struct Token {
    /// Its position, or its slot where entries of sets are slots; of a hidden token, anything.
    position: u32,
    /// See [`Origin`].
    origin: u32,
}

/// A token whose page has been asked for.
#[derive(Clone, Copy)]
struct Located {
    page: u32,
    /// Its slot in the page, of which there are at most 256, and above that its origin.
    slot_and_origin: u32,
}

impl Token {
    const HIDDEN: Self = Self { position: 0, origin: Origin::HIDDEN };

    /// What stands at `source`; of the entry `entry` where that is a token of a set that has entries.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn at(params: &Params, task: &Task, source: Source, entry: i32) -> Self {
        match source {
            Source::Set(index) => {
                Self { position: task.place_of(params, index, entry), origin: Origin::CONFIRMED }
            }
            Source::Own { first, row } => Self { position: task.length + row, origin: Origin::own(first) },
            Source::Nothing => Self::HIDDEN,
        }
    }

    /// Asks for the page of the position.
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn ask_page(self, params: &Params, task: &Task) -> Located {
        let confirmed = self.origin == Origin::CONFIRMED;
        let has_slot = confirmed & task.has_slots(params);
        let index = self.position >> params.page_shift;
        let outside = confirmed & (self.position >= task.length);
        let beyond = index >= params.table_width;
        // Few branches, since lanes' tokens differ.
        let looked_up = (self.origin != Origin::HIDDEN) & !has_slot;
        if looked_up & (outside | beyond) {
            task.report(params, if outside { Fault::Position } else { Fault::Length });
            return Located::HIDDEN;
        }
        let slot = self.position & ((1 << params.page_shift) - 1);
        let slot_and_origin = slot | self.origin << Located::ORIGIN;
        if !looked_up {
            return Located { page: index, slot_and_origin };
        }
        let entry = u64::from(thread::opaque(task.sequence)) * params.table_stride + u64::from(index);
        // SAFETY: the index is below the table's width.
        let page = unsafe { params.block_table.load(entry) };
        Located { page: page as u32, slot_and_origin }
    }
}

impl Located {
    /// Where the bits of the origin begin.
    const ORIGIN: u32 = 8;

    const HIDDEN: Self = Self { page: 0, slot_and_origin: Origin::HIDDEN << Self::ORIGIN };

    /// Hands the token over to the team, as token `index` of the block's ring of tokens. Readers need a barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn store<G: Shape>(self, params: &Params, task: &Task, index: u32) {
        let mut origin = self.slot_and_origin >> Self::ORIGIN;
        if origin != Origin::HIDDEN && self.page >= params.pages {
            task.report(params, Fault::Page);
            origin = Origin::HIDDEN;
        }
        let slot = self.slot_and_origin & ((1 << Self::ORIGIN) - 1);
        let place =
            self.page.wrapping_mul(params.page_places).wrapping_add(slot.wrapping_mul(params.token_places));
        // SAFETY: both arrays hold all teams' steps; a barrier separates this from the last readers of the step that stood
        // there, which has been computed.
        unsafe {
            Shared::<u32>::at(G::PLAN.places).store(index, place);
            Shared::<u32>::at(G::PLAN.origins).store(index, origin);
        }
    }
}

/// The entries of the set of a sequence's KV head.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn entries(params: &Params, sequence: u32, kv_head: u32) -> Global<i32> {
    let first =
        u64::from(sequence) * params.set_stride + u64::from(kv_head) * u64::from(params.set_head_stride);
    Global::at(params.set.item(first))
}

/// The first index of a team's step among the places and origins.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn in_step<G: Shape>(team: u32, step: u32) -> u32 {
    (team * G::PLAN.token_steps + step % G::PLAN.token_steps) * G::STEP
}

/// The most tokens of the first steps that a thread looks up.
const FIRST: usize = 4;

/// The calling thread's tokens of its team's first steps.
pub(super) struct First([i32; FIRST]);

/// Step and item of the calling thread's `i`th token of the first steps.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn first_token<G: Shape>(i: usize) -> (u32, u32) {
    let index = (i as u32 * G::TILE.columns + G::member()) * WARP + lane();
    (index / G::STEP, index % G::STEP)
}

impl First {
    /// Asks for their entries, as if the set filled its array: what it holds is not known yet.
    ///
    /// # Safety
    /// As [`Token::ask_page`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn ask<G: Shape>(params: &Params) -> Self {
        const { assert!(G::TILE.first_tokens() <= FIRST as u32) };
        let mut asked = [0; FIRST];
        let set = entries(params, block_z(), params.chunks.divide(block_y()).0);
        for i in 0..G::TILE.first_tokens() as usize {
            let (step, item) = first_token::<G>(i);
            let index = first_of_set::<G>(step) + item;
            if index < params.set_capacity {
                // SAFETY: the caller's promise; the index is below the set's capacity.
                asked[i] = unsafe { set.load(u64::from(index >> params.set_shift)) };
            }
        }
        Self(asked)
    }

    /// Finds their places, and hands them over to the team, with own rows that come before. Readers need a barrier.
    ///
    /// # Safety
    /// As [`Token::ask_page`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn hand_over<G: Shape>(self, params: &Params, task: &Task, share: &Share) {
        let mut own = Located::HIDDEN;
        let mut tokens = [Located::HIDDEN; FIRST];
        // The lanes of the last warp look up the own rows: the first one's look the later steps up.
        let brings = G::member() == G::TILE.columns - 1 && lane() < G::STEP;
        let rows = share.first_of_rows::<G>().filter(|_| brings);
        // SAFETY: the caller's promise.
        unsafe {
            if rows.is_some() {
                own = Token::at(params, task, share.row::<G>(0, lane()), 0).ask_page(params, task);
            }
            for i in 0..G::TILE.first_tokens() as usize {
                let (step, item) = first_token::<G>(i);
                tokens[i] = Token::at(params, task, share.first_token::<G>(step, item), self.0[i])
                    .ask_page(params, task);
            }
        }
        if let Some(step) = rows {
            own.store::<G>(params, task, in_step::<G>(G::team(), step) + lane());
        }
        for i in 0..G::TILE.first_tokens() as usize {
            let (step, item) = first_token::<G>(i);
            tokens[i].store::<G>(params, task, in_step::<G>(G::team(), share.first_step::<G>(step)) + item);
        }
    }
}

/// Tokens of a team's later steps, which its warps look up in turns: of the warp's next step the pages, of the one behind the
/// entries. A load behind a ring's worth of copies takes its time; in turns there is that of several steps.
pub(super) struct Ahead {
    /// The warp's next step.
    step: u32,
    with_page: Located,
    /// The entry of the step behind; until the first advance, of the next step.
    entry: i32,
}

impl Ahead {
    /// Asks for the entries of the warp's first step behind the [`First`].
    ///
    /// # Safety
    /// As [`Token::ask_page`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn begin<G: Shape>(params: &Params, task: &Task, share: &Share) -> Self {
        let step = share.later::<G>() + G::member();
        // SAFETY: the caller's promise.
        let entry = unsafe { Self::ask::<G>(params, task, share, step) };
        Self { step, with_page: Located::HIDDEN, entry }
    }

    /// The lane's token of a step.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn source<G: Shape>(share: &Share, step: u32) -> Source {
        if lane() < G::STEP { share.token::<G>(step, lane()) } else { Source::Nothing }
    }

    /// # Safety
    /// As [`Token::ask_page`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn ask<G: Shape>(params: &Params, task: &Task, share: &Share, step: u32) -> i32 {
        match Self::source::<G>(share, step) {
            Source::Set(index) if task.is_listed() => {
                // Taken as unknown, what follows from them is not kept in registers between the steps.
                let set = entries(params, thread::opaque(task.sequence), thread::opaque(task.kv_head));
                // SAFETY: the caller's promise; the set's size is at most its capacity.
                unsafe { set.load(u64::from(index >> params.set_shift)) }
            }
            _ => 0,
        }
    }

    /// Asks for the pages of the tokens whose entries have been asked for, and for the entries of the warp's step behind.
    ///
    /// # Safety
    /// As [`Token::ask_page`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn advance<G: Shape>(&mut self, params: &Params, task: &Task, share: &Share) {
        let source = Self::source::<G>(share, self.step);
        // SAFETY: the caller's promise.
        unsafe {
            self.with_page = Token::at(params, task, source, self.entry).ask_page(params, task);
            self.entry = Self::ask::<G>(params, task, share, self.step + G::TILE.columns);
        }
    }

    /// Where it is the warp's turn in the team's step `step` of `steps`, hands the tokens of its next step over to the team and looks
    /// further ahead. Readers need a barrier.
    ///
    /// # Safety
    /// As [`Token::ask_page`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn hand_over<G: Shape>(
        &mut self,
        params: &Params,
        task: &Task,
        share: &Share,
        step: u32,
        steps: u32,
    ) {
        if self.step == share.later::<G>() + step && self.step < steps {
            if lane() < G::STEP {
                self.with_page.store::<G>(params, task, in_step::<G>(G::team(), self.step) + lane());
            }
            self.step += G::TILE.columns;
            // SAFETY: the caller's promise.
            unsafe { self.advance::<G>(params, task, share) };
        }
    }
}
