//! Which tokens a team works through, and in which order.
//!
//! The set's tokens are dealt out by steps, round by round, to all teams of all splits, so that the index of a token of a
//! team's first steps is known before the sequence's figures are. The step's own rows fill steps of their own, dealt out
//! from the last team on of those splits that have tokens. A team's first of these is the step that fills its ring's last slot, whose work hides behind the copies
//! of the others, and which may wait for them to be written while the slots before it are filled; what else there is follows
//! behind the steps whose tokens are looked up before all copies.

use super::{shape::Shape, task::Task};
use crate::simt::thread::{block_x, grid_x};

/// A token of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The set's, by index.
    Set(u32),
    /// One of the sequence's own rows, by number, in a step whose first row is `first`.
    Own { first: u32, row: u32 },
    /// There is none.
    Nothing,
}

/// The most rows of a sequence's step.
const MAX_ROWS: u32 = 64;

/// The share of the calling warp's team.
#[derive(Clone, Copy)]
pub(super) struct Share {
    /// Steps of the set among the first steps.
    early: u32,
    /// Steps of own rows.
    own: u32,
    /// Splits that have tokens.
    splits: u32,
    set_size: u32,
    rows: u32,
}

/// The team's number among all teams of all splits, and their number.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn rank<G: Shape>() -> (u32, u32) {
    (block_x() * G::TILE.teams + G::team(), teams_of::<G>(grid_x()))
}

/// The teams of `splits` splits; never zero.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn teams_of<G: Shape>(splits: u32) -> u32 {
    (splits * G::TILE.teams).max(1)
}

/// Index in the set of the first token of the team's `step`th step of the set.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn first_of_set<G: Shape>(step: u32) -> u32 {
    let (rank, teams) = rank::<G>();
    (step * teams + rank) * G::STEP
}

impl Share {
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_team<G: Shape>(task: &Task) -> Self {
        let (own_steps, teams) = (task.rows.div_ceil(G::STEP), teams_of::<G>(task.splits));
        let mut own = 0;
        // A sequence has at most 64 rows: no division.
        for round in 0..const { MAX_ROWS.div_ceil(G::STEP) } {
            own += u32::from(round * teams + teams - 1 - rank::<G>().0 < own_steps);
        }
        let mut early = 0;
        for step in 0..G::TILE.first_steps() {
            early += u32::from(first_of_set::<G>(step) < task.set_size);
        }
        Self { early, own, splits: task.splits, set_size: task.set_size, rows: task.rows }
    }

    /// Whether the team has a step `step`, one of as many as it has slots.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn has_first(&self, step: u32) -> bool {
        step < self.early + self.own
    }

    /// The team's steps. They take a division: nothing for the way to the first copies.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn steps<G: Shape>(&self) -> u32 {
        let tokens = self.set_size.saturating_sub(first_of_set::<G>(0));
        self.own + tokens.div_ceil((rank::<G>().1 * G::STEP).max(1))
    }

    /// Steps of own rows among the first steps: 0 or 1.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn lead(&self) -> u32 {
        self.own.min(1)
    }

    /// The first steps, as far as slots are filled with confirmed tokens alone: all slots but the last, which own rows come
    /// into, or fewer where the set is small.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn confirmed<G: Shape>(&self) -> u32 {
        self.early.min(G::TILE.stages - 1)
    }

    /// The step of the first own rows, if the team has any.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn first_of_rows<G: Shape>(&self) -> Option<u32> {
        (self.own != 0).then_some(self.confirmed::<G>())
    }

    /// The team's step that is the `step`th of the first ones, those of the set and what fills up behind them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn first_step<G: Shape>(&self, step: u32) -> u32 {
        if step < self.confirmed::<G>() { step } else { step + self.lead() }
    }

    /// The step behind the first ones.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn later<G: Shape>(&self) -> u32 {
        G::TILE.first_steps() + self.lead()
    }

    /// Token `item` of the `step`th of the [first steps](Share::first_step).
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn first_token<G: Shape>(&self, step: u32, item: u32) -> Source {
        if step < self.early {
            return self.position::<G>(step, item);
        }
        self.token::<G>(self.first_step::<G>(step), item)
    }

    /// Token `item` of the team's step `step`, one behind the early ones of the set.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn token<G: Shape>(&self, step: u32, item: u32) -> Source {
        if step < self.early + self.own {
            return self.row::<G>(step - self.early, item);
        }
        self.position::<G>(step - self.own, item)
    }

    /// Token `item` of the team's `step`th step of own rows.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn row<G: Shape>(&self, step: u32, item: u32) -> Source {
        let teams = teams_of::<G>(self.splits);
        let first = (step * teams + teams - 1 - rank::<G>().0) * G::STEP;
        let row = first + item;
        if row < self.rows { Source::Own { first, row } } else { Source::Nothing }
    }

    /// Token `item` of the team's `step`th step of the set.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn position<G: Shape>(&self, step: u32, item: u32) -> Source {
        let index = first_of_set::<G>(step) + item;
        if index < self.set_size { Source::Set(index) } else { Source::Nothing }
    }
}
