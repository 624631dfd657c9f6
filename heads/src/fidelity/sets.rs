//! The verification sets of judged steps, chosen by the library's CPU back end.

use dustin::{
    cpu::{CpuBackend, select::default_candidate},
    select::{
        arrays::{SelectArrays, SelectOutput, SelectStrides},
        problem::{Maps, SelectProblem},
    },
    verifier::Rules,
};

use super::{FidelityError, observed::Observed};

/// The sets of all judged steps, as a [`Judge`](super::Judge) chooses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationSets {
    /// By prompt.
    pub prompts: Vec<PromptSets>,
}

/// The sets of a prompt's judged steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptSets {
    prompt: u32,
    /// By step.
    lengths: Vec<i32>,
    budget: usize,
    /// `[steps, budget]`, of which `sizes` says how many are there.
    positions: Vec<i32>,
    sizes: Vec<i32>,
}

impl PromptSets {
    /// The prompt's number.
    #[must_use]
    pub const fn prompt(&self) -> u32 {
        self.prompt
    }

    /// The confirmed lengths of the steps.
    #[must_use]
    pub fn lengths(&self) -> &[i32] {
        &self.lengths
    }

    /// The set of a step: ascending positions, or nothing if it is everything.
    #[must_use]
    pub fn positions(&self, step: usize) -> Option<&[i32]> {
        // The flag EVERYTHING is negative.
        let size = usize::try_from(*self.sizes.get(step)?).ok()?;
        self.positions.get(step * self.budget..)?.get(..size)
    }

    /// The sets that `rules` choose from the maps that they read.
    pub(super) fn choose(
        backend: &mut CpuBackend,
        rules: &Rules,
        observed: &Observed,
        target: Option<&[f32]>,
        draft: Option<&[f32]>,
    ) -> Result<Self, FidelityError> {
        let steps = &observed.steps;
        let (reads_target, reads_draft) = (rules.reads_target(), rules.reads_draft());
        let problem = SelectProblem {
            quota: if reads_draft { rules.m } else { 0 },
            sinks: rules.sinks,
            recent: rules.recent,
            block: rules.block,
            pooling: rules.pooling,
            everything: rules.everything,
            maps: match (reads_target, reads_draft) {
                (true, true) => Maps::Both,
                (true, false) => Maps::Target,
                (false, true) => Maps::Draft,
                (false, false) => Maps::Neither,
            },
            ..SelectProblem::plain(steps.lengths.len() as u32, steps.positions() as u32, rules.k)
        };
        let candidate = default_candidate(&problem, backend.limits())?;
        let strides = SelectStrides::dense(&problem);
        let arrays = SelectArrays {
            draft: draft.filter(|_| reads_draft),
            target: target.filter(|_| reads_target),
            map_starts: &steps.starts,
            lengths: &steps.lengths,
            target_slots: None,
            block_table: None,
            strides,
        };
        let mut sets = Self {
            prompt: observed.prompt,
            lengths: steps.lengths.clone(),
            budget: rules.k as usize,
            positions: vec![0; steps.lengths.len() * rules.k as usize],
            sizes: vec![0; steps.lengths.len()],
        };
        let output = SelectOutput { set: &mut sets.positions, physical: None, set_sizes: &mut sets.sizes };
        let status = backend.select(&problem, &candidate, &arrays, output)?;
        debug_assert_eq!(status, 0, "lengths and parts are the capture's");
        Ok(sets)
    }
}
