//! Which choice serves each stage, and why.

use std::ffi::c_char;

use dustin::verifier::{Served, Stage};

use super::{
    OPERATION,
    create::{Verifier, dustin_verifier},
};
use crate::{
    boundary::call,
    choice,
    error::{Error, invalid},
    handle,
    status::dustin_status,
    text,
    words::Words,
};

/// A stage of a step.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_stage {
    /// Gathering the target's map.
    TargetScore = 1,
    /// Gathering the draft's map.
    DraftScore = 2,
    /// Choosing sets from the maps.
    Selection = 3,
    /// Writing a layer's own rows to its caches.
    Append = 4,
    /// A layer's attention over the sets.
    Attention = 5,
    /// A layer's attention over all confirmed tokens.
    FullAttention = 6,
    /// Moving the accepted rows up in all layers.
    Compaction = 7,
    /// Capturing queries of a forward of the draft.
    DraftCapture = 8,
    /// Finding the drafts to keep, and the next token.
    Acceptance = 9,
    /// Capturing the target's queries of the last accepted row.
    TargetCapture = 10,
}

pub(super) const STAGES: Words<Stage> = Words {
    name: "dustin_stage",
    values: &[
        (dustin_stage::TargetScore as u32, Stage::TargetScore),
        (dustin_stage::DraftScore as u32, Stage::DraftScore),
        (dustin_stage::Selection as u32, Stage::Selection),
        (dustin_stage::Append as u32, Stage::Append),
        (dustin_stage::Attention as u32, Stage::Attention),
        (dustin_stage::FullAttention as u32, Stage::FullAttention),
        (dustin_stage::Compaction as u32, Stage::Compaction),
        (dustin_stage::DraftCapture as u32, Stage::DraftCapture),
        (dustin_stage::Acceptance as u32, Stage::Acceptance),
        (dustin_stage::TargetCapture as u32, Stage::TargetCapture),
    ],
};

impl Verifier {
    fn served(&self, stage: u32) -> Result<&Served, Error> {
        let stage = STAGES.read(OPERATION, "stage", stage)?;
        let served = self.report().served(stage);
        Ok(served.ok_or_else(|| invalid(OPERATION, "stage", "one of the verifier's", stage))?)
    }
}

/// What serves each stage, where that choice comes from, and the reasons why it is nothing better: a line for each.
///
/// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
/// `capacity` is 0.
///
/// # Safety
/// `capacity` bytes at `text` may be written, and `length`, unless they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_report(
    verifier: *const dustin_verifier,
    text: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> dustin_status {
    call(OPERATION, || {
        let verifier = handle::find(OPERATION, "verifier", verifier)?;
        // SAFETY: the caller's promise.
        unsafe { text::output(OPERATION, &verifier.report().to_string(), text, capacity, length) }
            .map_err(Error::from)
    })
}

/// Where the choice that serves a `dustin_stage` comes from, a `dustin_source`.
///
/// # Safety
/// `source` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_stage_source(
    verifier: *const dustin_verifier,
    stage: u32,
    source: *mut u32,
) -> dustin_status {
    call(OPERATION, || {
        let verifier = handle::find(OPERATION, "verifier", verifier)?;
        let found = choice::source(verifier.served(stage)?) as u32;
        // SAFETY: the caller's promise.
        unsafe { text::number(OPERATION, "source", source, found) }.map_err(Error::from)
    })
}

/// The stable id of the variant that serves a `dustin_stage`; no text where there is nothing to launch.
///
/// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
/// `capacity` is 0.
///
/// # Safety
/// `capacity` bytes at `text` may be written, and `length`, unless they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_stage_variant(
    verifier: *const dustin_verifier,
    stage: u32,
    text: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> dustin_status {
    call(OPERATION, || {
        let verifier = handle::find(OPERATION, "verifier", verifier)?;
        let variant = choice::variant(verifier.served(stage)?);
        // SAFETY: the caller's promise.
        unsafe { text::output(OPERATION, variant, text, capacity, length) }.map_err(Error::from)
    })
}
