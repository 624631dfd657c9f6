//! Which of its two models a map and its captured queries come from: what differs between them stands here, so that each stage is
//! one function for both.

use crate::{
    cache::capture::problem::CaptureProblem,
    error::InvalidInput,
    score::problem::ScoreProblem,
    verifier::{
        Captured, Gather, Model, Stage, Stages, StepBuffers, VerifierProblem,
        stages::{require_below, unread},
    },
};

/// A model of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The large one, which is served.
    Target,
    /// The small one, which proposes tokens.
    Draft,
}

impl Role {
    /// The stage that gathers its map.
    pub(crate) const fn score(self) -> Stage {
        match self {
            Self::Target => Stage::TargetScore,
            Self::Draft => Stage::DraftScore,
        }
    }

    /// The stage that captures the queries of its map.
    pub(crate) const fn capture(self) -> Stage {
        match self {
            Self::Target => Stage::TargetCapture,
            Self::Draft => Stage::DraftCapture,
        }
    }
}

impl VerifierProblem {
    /// The model in `role`: where there is no draft the target, of whose stages none has that role.
    pub(crate) fn model(&self, role: Role) -> &Model {
        match (role, &self.draft) {
            (Role::Draft, Some(draft)) => &draft.model,
            _ => &self.target,
        }
    }
}

impl Stages {
    /// How the map is gathered.
    pub(crate) const fn score(&self, role: Role) -> &Gather<ScoreProblem> {
        match role {
            Role::Target => &self.target_score,
            Role::Draft => &self.draft_score,
        }
    }

    /// The captured queries.
    pub(crate) const fn captured(&self, role: Role) -> &Captured {
        match role {
            Role::Target => &self.target_captured,
            Role::Draft => &self.draft_captured,
        }
    }

    /// The capture of each of their layers.
    pub(crate) fn captures(&self, role: Role) -> &[CaptureProblem] {
        match role {
            Role::Target => &self.target_capture,
            Role::Draft => &self.draft_capture,
        }
    }

    /// Which of the captures is that of `layer`, one of those of `problem`'s model: nothing where no heads of it are captured on this
    /// rank.
    ///
    /// # Errors
    /// No set depends on the map, or the model has no such layer.
    pub(crate) fn capture_of(
        &self,
        role: Role,
        problem: &VerifierProblem,
        layer: u32,
    ) -> Result<Option<usize>, InvalidInput> {
        if !self.score(role).is_read() {
            return Err(unread(role.capture()));
        }
        require_below(problem.model(role).share.geometry().layers, layer)?;
        Ok(self.captured(role).place(layer))
    }
}

impl StepBuffers {
    /// The address of the map.
    pub(crate) const fn map(&self, role: Role) -> u64 {
        match role {
            Role::Target => self.target_map,
            Role::Draft => self.draft_map,
        }
    }
}
