//! What a workload asks of a device, whatever the kernel.

use dustin::{
    InvalidInput, attention::problem::AttentionProblem, profile::KernelKey, score::problem::ScoreProblem,
    select::problem::SelectProblem,
};

/// A problem of one of the kernels.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// Of attention.
    Attention(AttentionProblem),
    /// Of scoring.
    Score(ScoreProblem),
    /// Of selection.
    Select(SelectProblem),
}

impl Problem {
    /// Bytes that the operation must move at the least.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Attention(problem) => problem.bytes(),
            Self::Score(problem) => problem.bytes(),
            Self::Select(problem) => problem.bytes(),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is not as documented.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        match self {
            Self::Attention(problem) => problem.validate(),
            Self::Score(problem) => problem.validate(),
            Self::Select(problem) => problem.validate(),
        }
    }
}

impl From<&Problem> for KernelKey {
    fn from(problem: &Problem) -> Self {
        match problem {
            Problem::Attention(problem) => problem.into(),
            Problem::Score(problem) => problem.into(),
            Problem::Select(problem) => problem.into(),
        }
    }
}
