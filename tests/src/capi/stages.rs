//! The stages of a step through the C ABI, over host memory or a GPU's: what an engine in C calls.

use std::ffi::c_void;

use dustin::{
    cuda::{CudaError, SideStream, Stream},
    verifier::Stages,
};
use dustin_c::{
    dustin_verifier_accept, dustin_verifier_append, dustin_verifier_attention, dustin_verifier_capture_draft,
    dustin_verifier_capture_target, dustin_verifier_compact, dustin_verifier_full_attention,
    dustin_verifier_score_draft, dustin_verifier_score_target, dustin_verifier_select,
};

use super::{
    Verifier, VerifierSpace, acceptance_args, accepted, append_rows, attention_rows, capture_rows, check,
    step,
};
use crate::verifier::addresses::{Addresses, LayerAddresses};

/// A call's message as an error that those of the driver become, too.
#[derive(Debug)]
pub struct Failure(pub String);

impl From<CudaError> for Failure {
    fn from(error: CudaError) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self(message)
    }
}

/// A step of a verifier: its workspace and its arrays.
///
/// What its functions promise the C ABI is the maker's promise: the arrays have the shapes of the verifier's problem, whose stages are
/// `stages`, streams are those of its context, and nobody else touches what a stage writes until it has ended.
#[derive(Clone, Copy, Debug)]
pub struct CStep<'a> {
    /// The verifier.
    pub verifier: &'a Verifier,
    /// The step's own workspace.
    pub space: &'a VerifierSpace,
    /// What the verifier's problem comes down to.
    pub stages: &'a Stages,
    /// The step's arrays.
    pub arrays: &'a Addresses,
}

impl CStep<'_> {
    /// The target's map, if it is read.
    ///
    /// # Errors
    /// The call fails.
    ///
    /// # Safety
    /// [`CStep`]'s, here and in the other stages.
    pub unsafe fn score_target(&self, stream: *mut c_void) -> Result<(), String> {
        if !self.stages.target_score.is_read() {
            return Ok(());
        }
        let (own, work) = (self.verifier.handle(), self.space.handle());
        // SAFETY: the caller's promise.
        check(unsafe { dustin_verifier_score_target(own, work, &step(&self.arrays.step), stream) })
    }

    /// The captures of the draft's forwards.
    ///
    /// # Errors
    /// A call fails.
    ///
    /// # Safety
    /// As [`score_target`](Self::score_target).
    pub unsafe fn capture_draft(&self, stream: *mut c_void) -> Result<(), String> {
        let (own, work) = (self.verifier.handle(), self.space.handle());
        self.arrays.forwards.iter().try_for_each(|(layer, token, rows)| {
            let rows = capture_rows(rows);
            // SAFETY: the caller's promise.
            check(unsafe { dustin_verifier_capture_draft(own, work, *layer, *token, &rows, stream) })
        })
    }

    /// The draft's map, if it is read.
    ///
    /// # Errors
    /// The call fails.
    ///
    /// # Safety
    /// As [`score_target`](Self::score_target).
    pub unsafe fn score_draft(&self, stream: *mut c_void) -> Result<(), String> {
        if !self.stages.draft_score.is_read() {
            return Ok(());
        }
        let (own, work) = (self.verifier.handle(), self.space.handle());
        // SAFETY: the caller's promise.
        check(unsafe { dustin_verifier_score_draft(own, work, &step(&self.arrays.step), stream) })
    }

    /// The sets.
    ///
    /// # Errors
    /// The call fails.
    ///
    /// # Safety
    /// As [`score_target`](Self::score_target).
    pub unsafe fn select(&self, stream: *mut c_void) -> Result<(), String> {
        let (own, work) = (self.verifier.handle(), self.space.handle());
        // SAFETY: the caller's promise.
        check(unsafe { dustin_verifier_select(own, work, &step(&self.arrays.step), stream) })
    }

    /// All of these, one behind the other.
    ///
    /// # Errors
    /// A call fails.
    ///
    /// # Safety
    /// As [`score_target`](Self::score_target).
    pub unsafe fn choose(&self, stream: *mut c_void) -> Result<(), String> {
        // SAFETY: the caller's promise.
        unsafe {
            self.score_target(stream)?;
            self.capture_draft(stream)?;
            self.score_draft(stream)?;
            self.select(stream)
        }
    }

    /// The same with the target's map on another stream, beside the draft's captures and map.
    ///
    /// # Errors
    /// A call fails, or the driver.
    ///
    /// # Safety
    /// As [`score_target`](Self::score_target).
    pub unsafe fn choose_beside(&self, main: &Stream, side: &mut SideStream) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        let target = |side: &Stream| unsafe { self.score_target(side.as_raw()) }.map_err(Failure);
        // SAFETY: as above.
        let draft = |main: &Stream| unsafe {
            self.capture_draft(main.as_raw())?;
            self.score_draft(main.as_raw()).map_err(Failure)
        };
        side.beside(main, target, draft)?;
        // SAFETY: as above.
        unsafe { self.select(main.as_raw()) }.map_err(Failure)
    }

    /// Append, attention over the sets and attention over all tokens, of every layer.
    ///
    /// # Errors
    /// A call fails.
    ///
    /// # Safety
    /// As [`score_target`](Self::score_target).
    pub unsafe fn layers(&self, stream: *mut c_void) -> Result<(), String> {
        let (own, work, step) = (self.verifier.handle(), self.space.handle(), step(&self.arrays.step));
        for (layer, LayerAddresses { append, attend }) in (0..).zip(&self.arrays.layers) {
            let (append, [sparse, full]) = (append_rows(append), attend.each_ref().map(attention_rows));
            // SAFETY: the caller's promise.
            unsafe {
                check(dustin_verifier_append(own, work, layer, &step, &append, stream))?;
                check(dustin_verifier_attention(own, work, layer, &step, &sparse, stream))?;
                check(dustin_verifier_full_attention(own, work, layer, &step, &full, stream))?;
            }
        }
        Ok(())
    }

    /// Acceptance, if the verifier accepts, compaction, and the captures for the next step.
    ///
    /// # Errors
    /// A call fails.
    ///
    /// # Safety
    /// As [`score_target`](Self::score_target).
    pub unsafe fn settle(&self, stream: *mut c_void) -> Result<(), String> {
        let (own, work, step) = (self.verifier.handle(), self.space.handle(), step(&self.arrays.step));
        let rows = accepted(&self.arrays.acceptance.map_or(self.arrays.accepted, |own| own.accepted()));
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(acceptance) = &self.arrays.acceptance {
                check(dustin_verifier_accept(own, work, &step, &acceptance_args(acceptance), stream))?;
            }
            check(dustin_verifier_compact(own, work, &step, &rows, stream))?;
            for (layer, rows) in (0..).zip(&self.arrays.captures) {
                check(dustin_verifier_capture_target(own, work, layer, &capture_rows(rows), stream))?;
            }
        }
        Ok(())
    }
}
