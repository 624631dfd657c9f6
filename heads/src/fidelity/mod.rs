//! What verification sets keep of the full attention, judged on captures.
//!
//! The *attention recovery rate* of a set is the mass of the full attention of the γ + 1 rows of a verification step that falls into the
//! set: the mean over query heads, layers and steps. The rows' full attention is over the confirmed tokens and the step's own rows,
//! so that what a row gives to the step itself is in no set, and the most that a set can have is the *ceiling*, which
//! [`Judge::ceiling`] gives. Shares of full-head estimation are quotients of recovery rates, in which it cancels out.
//!
//! The *output error* is by how much the outputs of attention over the set and the step's own rows differ from those over all tokens: the
//! L2 norm of the difference relative to that of the latter, the mean over query heads, rows, layers and steps. It takes captured values.
//!
//! A set is what the library makes of a capture: importance maps are gathered and sets are chosen by its CPU back end, with the
//! [rules](dustin::verifier::Rules) that a verifier takes. `steps` says which steps of a prompt are judged, `attend` gathers probabilities,
//! `observed` is what is known of a prompt before any candidate, `maps` keeps the maps of heads, `sets` chooses, `measure` is what a
//! set keeps, `output` what becomes of outputs, `judge` all of it, `export` sets as a file, `eviction` and `tova` baselines that evict, `bootstrap` how sure that is.

mod attend;
mod bootstrap;
mod error;
mod eviction;
mod export;
mod judge;
mod maps;
mod measure;
mod observed;
mod output;
mod sets;
mod steps;
mod tova;

pub(crate) use self::output::relative;
pub use self::{
    bootstrap::{Bound, lower_bound_of_mean, lower_bound_of_share, upper_bound_of_mean},
    error::FidelityError,
    eviction::{Eviction, LayerShares},
    export::SETS_METADATA,
    judge::{Estimate, Judge},
    measure::{Measure, OutputError, PromptMeasure, PromptRecovery, RecoveryRate},
    sets::{PromptSets, VerificationSets},
    steps::StepPlan,
};

#[cfg(test)]
mod tests;
