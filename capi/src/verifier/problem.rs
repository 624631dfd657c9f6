//! What a caller asks of a verifier.

use std::ffi::c_char;

use dustin::{
    InvalidInput,
    profile::Read,
    verifier::{Limits, Rules, VerifierProblem},
};

use super::{OPERATION, accept::dustin_acceptance, model::dustin_model, rules::dustin_rules};
use crate::{
    error::invalid,
    text,
    versioned::versioned,
    words::{ENTRIES, FLAGS, MASKS, require_reserved},
};

/// What a verifier is made for: models, limits and rules. All of it is known before the first step, and read by the call that
/// makes the verifier.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_verifier_problem {
    /// sizeof(dustin_verifier_problem).
    pub struct_size: u32,
    /// The most sequences of a batch. Steps of fewer give those that are missing length 0, no rows and slot -1.
    pub max_batch: u32,
    /// The most confirmed tokens of all sequences together. Maps and workspace follow it.
    pub max_total_tokens: u32,
    /// The most tokens of one sequence, the step's own rows included. Block tables have room for them.
    pub max_length: u32,
    /// The step's own rows of one sequence: at least gamma + 1, up to 64.
    pub rows: u32,
    /// Draft tokens one after the other, for a tree its depth.
    pub gamma: u32,
    /// Slots of captured queries: at least `max_batch`.
    pub slots: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// The model that is served.
    pub target: *const dustin_model,
    /// The model that proposes tokens; null if its attention is not read.
    pub draft: *const dustin_model,
    /// How sets are chosen; null: as the profile's selection for the pair of the following names says.
    pub rules: *const dustin_rules,
    /// The target's name, by which the profile knows it; null if there are rules.
    pub target_name: *const c_char,
    /// The draft's name, likewise.
    pub draft_name: *const c_char,
    /// Which of the step's own rows a row sees, a `dustin_mask`.
    pub mask: u32,
    /// 1 if attention gives the log-sum-exp, too.
    pub lse: u32,
    /// What attention reads of a set, a `dustin_entries`.
    pub entries: u32,
    /// 1 if appending brings the queries to where attention reads them.
    pub copies_queries: u32,
    /// 1 if kernels of attention are chosen so that a sequence's bits are the same in batches of every size.
    pub batch_invariant: u32,
    /// Reserved: 0.
    pub reserved_too: u32,
    /// How drafts are accepted; null if the engine does that itself.
    pub acceptance: *const dustin_acceptance,
}

versioned!(dustin_verifier_problem {
    struct_size max_batch max_total_tokens max_length rows gamma slots reserved target draft rules
} { target_name draft_name mask lse entries copies_queries batch_invariant reserved_too acceptance });

impl dustin_verifier_problem {
    /// # Safety
    /// All that it points to is null, or as documented.
    pub(super) unsafe fn read(&self, profile: Option<&Read>) -> Result<VerifierProblem, InvalidInput> {
        require_reserved(OPERATION, &[("reserved", self.reserved), ("reserved_too", self.reserved_too)])?;
        // SAFETY: the caller's promise, here and below.
        let acceptance = unsafe { dustin_acceptance::read(self.acceptance)? };
        // SAFETY: as above.
        let (target, draft, rules) = unsafe {
            (dustin_model::target(self.target)?, dustin_model::draft(self.draft)?, self.rules(profile)?)
        };
        let Self { max_batch, max_total_tokens, max_length, rows, gamma, slots, .. } = *self;
        let limits = Limits { max_batch, max_total_tokens, max_length, rows, gamma, slots };
        Ok(VerifierProblem {
            mask: MASKS.read(OPERATION, "mask", self.mask)?,
            lse: FLAGS.read(OPERATION, "lse", self.lse)?,
            entries: ENTRIES.read(OPERATION, "entries", self.entries)?,
            copies_queries: FLAGS.read(OPERATION, "copies_queries", self.copies_queries)?,
            batch_invariant: FLAGS.read(OPERATION, "batch_invariant", self.batch_invariant)?,
            acceptance,
            ..VerifierProblem::new(target, draft, limits, rules)
        })
    }

    /// # Safety
    /// As [`read`](Self::read).
    unsafe fn rules(&self, profile: Option<&Read>) -> Result<Rules, InvalidInput> {
        if !self.rules.is_null() {
            if !self.target_name.is_null() || !self.draft_name.is_null() {
                let required = "null, as there are rules";
                return Err(invalid(OPERATION, "target_name", required, "given"));
            }
            // SAFETY: the caller's promise.
            return unsafe { dustin_rules::read(self.rules) };
        }
        let Some(read) = profile else {
            return Err(invalid(OPERATION, "rules", "given, as there is no profile", "null"));
        };
        // SAFETY: as above.
        let (target, draft) = unsafe {
            (
                text::input(OPERATION, "target_name", self.target_name)?,
                text::input(OPERATION, "draft_name", self.draft_name)?,
            )
        };
        Rules::of_profile(&read.profile, target, draft).ok_or_else(|| {
            let pairs = read.profile.selections.iter();
            let known: Vec<_> =
                pairs.map(|own| format!("{} with {}", own.target_model, own.draft_model)).collect();
            let required = match known.is_empty() {
                true => "a pair of the profile, which has none".to_owned(),
                false => format!("a pair of the profile: {}", known.join(", ")),
            };
            invalid(OPERATION, "target_name and draft_name", required, format!("{target} with {draft}"))
        })
    }
}
