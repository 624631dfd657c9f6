//! From a token's index to the place of its rows: the set's position, the block table's page, and the ring of places and
//! thresholds through which a team learns of them.

use super::{
    params::Params,
    shape::Shape,
    share::{Share, Source, first_of_set},
    task::Task,
};
use crate::{
    fault::Fault,
    simt::{
        Shared, WARP,
        thread::{block_z, lane},
    },
};

/// The threshold of a token that no column sees.
pub(super) const HIDDEN: u32 = u32::MAX;

/// Tells the thresholds of the step's own rows from those of the set's tokens, while they are looked up.
const OWN: u32 = 1 << 31;

/// A token on its way from its index in the sequence's list to the place of its rows. Each part of the way ends with a load,
/// which the next part waits for: between them there is time for other work.
#[derive(Clone, Copy)]
struct Token {
    /// Its position; of a hidden token, anything.
    position: u32,
    /// First query column of the sequence that sees it.
    threshold: u32,
    /// Its page, once it has been asked for.
    page: u32,
}

impl Token {
    const HIDDEN: Self = Self { position: 0, threshold: HIDDEN, page: 0 };

    /// What stands at `source`; `position` where that is a token of the set.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn at(params: &Params, task: &Task, source: Source, position: i32) -> Self {
        match source {
            Source::Set(_) => Self { position: position as u32, threshold: 0, page: 0 },
            Source::Own(row) => {
                Self { position: task.length + row, threshold: OWN | (row * params.group), page: 0 }
            }
            Source::Nothing => Self::HIDDEN,
        }
    }

    /// Asks for the position of what stands at `source`.
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn ask(params: &Params, task: &Task, source: Source) -> Self {
        let mut position = 0;
        if let Source::Set(index) = source {
            // SAFETY: the set size is at most the set's capacity.
            position =
                unsafe { params.set.load(u64::from(task.sequence) * params.set_stride + u64::from(index)) };
        }
        Self::at(params, task, source, position)
    }

    /// Asks for the page of the position.
    ///
    /// # Safety
    /// As [`Token::ask`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn ask_page(self, params: &Params, task: &Task) -> Self {
        if self.threshold == HIDDEN {
            return self;
        }
        if self.threshold & OWN == 0 && self.position >= task.length {
            task.report(params, Fault::Position);
            return Self::HIDDEN;
        }
        let index = self.position >> params.page_shift;
        if index >= params.table_width {
            task.report(params, Fault::Length);
            return Self::HIDDEN;
        }
        let entry = u64::from(task.sequence) * params.table_stride + u64::from(index);
        // SAFETY: the index is below the table's width.
        let page = unsafe { params.block_table.load(entry) };
        Self { page: page as u32, ..self }
    }

    /// Hands the token over to the team, as token `index` of the block's ring of tokens. Readers need a barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn store<G: Shape>(self, params: &Params, task: &Task, index: u32) {
        let mut threshold = HIDDEN;
        if self.threshold != HIDDEN {
            if self.page < params.pages {
                threshold = self.threshold & !OWN;
            } else {
                task.report(params, Fault::Page);
            }
        }
        let slot = self.position & ((1 << params.page_shift) - 1);
        let place = self.page.wrapping_mul(params.page_places) + slot * params.token_places;
        // SAFETY: both arrays hold all teams' steps; a barrier separates this from the last readers of the step that stood
        // there, which has been computed.
        unsafe {
            Shared::<u32>::at(G::PLAN.places).store(index, place);
            Shared::<u32>::at(G::PLAN.thresholds).store(index, threshold);
        }
    }
}

/// The first index of a team's step among the places and thresholds.
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
    /// Asks for their positions, as if the set filled its array: what it holds is not known yet.
    ///
    /// # Safety
    /// As [`Token::ask`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn ask<G: Shape>(params: &Params) -> Self {
        const { assert!(G::TILE.first_tokens() <= FIRST as u32) };
        let mut positions = [0; FIRST];
        for i in 0..G::TILE.first_tokens() as usize {
            let (step, item) = first_token::<G>(i);
            let index = first_of_set::<G>(step) + item;
            if index < params.set_capacity {
                // SAFETY: the index is below the set's capacity.
                positions[i] =
                    unsafe { params.set.load(u64::from(block_z()) * params.set_stride + u64::from(index)) };
            }
        }
        Self(positions)
    }

    /// Finds their places, and hands them over to the team, with own rows that come before. Readers need a barrier.
    ///
    /// # Safety
    /// As [`Token::ask`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn hand_over<G: Shape>(self, params: &Params, task: &Task, share: &Share) {
        let mut own = Token::HIDDEN;
        let mut tokens = [Token::HIDDEN; FIRST];
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
/// positions. A load behind a ring's worth of copies takes its time; in turns there is that of several steps.
pub(super) struct Ahead {
    /// The warp's next step.
    step: u32,
    with_page: Token,
    with_position: Token,
}

impl Ahead {
    /// Asks for the positions of the warp's first step behind the [`First`].
    ///
    /// # Safety
    /// As [`Token::ask`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn begin<G: Shape>(params: &Params, task: &Task, share: &Share) -> Self {
        let step = share.later::<G>() + G::member();
        // SAFETY: the caller's promise.
        let with_position = unsafe { Self::ask::<G>(params, task, share, step) };
        Self { step, with_page: Token::HIDDEN, with_position }
    }

    /// # Safety
    /// As [`Token::ask`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn ask<G: Shape>(params: &Params, task: &Task, share: &Share, step: u32) -> Token {
        if lane() >= G::STEP {
            return Token::HIDDEN;
        }
        // SAFETY: the caller's promise.
        unsafe { Token::ask(params, task, share.token::<G>(step, lane())) }
    }

    /// Asks for the pages of the tokens whose positions have been asked for, and for the positions of the warp's step behind.
    ///
    /// # Safety
    /// As [`Token::ask`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn advance<G: Shape>(&mut self, params: &Params, task: &Task, share: &Share) {
        // SAFETY: the caller's promise.
        unsafe {
            self.with_page = self.with_position.ask_page(params, task);
            self.with_position = Self::ask::<G>(params, task, share, self.step + G::TILE.columns);
        }
    }

    /// Where it is the warp's turn in the team's step `step`, hands the tokens of its next step over to the team and looks
    /// further ahead. Readers need a barrier.
    ///
    /// # Safety
    /// As [`Token::ask`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn hand_over<G: Shape>(
        &mut self,
        params: &Params,
        task: &Task,
        share: &Share,
        step: u32,
    ) {
        if self.step == share.later::<G>() + step && share.has::<G>(self.step) {
            if lane() < G::STEP {
                self.with_page.store::<G>(params, task, in_step::<G>(G::team(), self.step) + lane());
            }
            self.step += G::TILE.columns;
            // SAFETY: the caller's promise.
            unsafe { self.advance::<G>(params, task, share) };
        }
    }
}
