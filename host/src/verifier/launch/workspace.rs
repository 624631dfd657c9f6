//! One workspace for all stages.

use std::ops::Range;

use crate::{error::InvalidInput, limits::WORKSPACE_ALIGNMENT, verifier::Stage};

/// A stage's part of the workspace: nobody else's, so that stages on several streams do not disturb each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The stage.
    pub stage: Stage,
    /// Its bytes, from the workspace's start.
    pub bytes: Range<u64>,
    /// How many of them, from their start, must be zero before the first step.
    pub zeroed_bytes: u64,
}

/// Where the stages' parts lie, each aligned to [`WORKSPACE_ALIGNMENT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceLayout {
    parts: Vec<Part>,
}

impl WorkspaceLayout {
    /// The layout for stages that need so many bytes, of which so many must be zero.
    pub(super) fn new(stages: impl IntoIterator<Item = (Stage, u64, u64)>) -> Self {
        let mut end = 0u64;
        let parts = stages.into_iter().map(|(stage, bytes, zeroed_bytes)| {
            let start = end.next_multiple_of(WORKSPACE_ALIGNMENT);
            end = start + bytes;
            Part { stage, bytes: start..end, zeroed_bytes }
        });
        Self { parts: parts.collect() }
    }

    /// The parts, one behind the other.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.bytes.end)
    }

    /// Checks that a step may work in the `bytes` bytes at `address`.
    ///
    /// # Errors
    /// The address is missing, misaligned or too near the last one, or there are too few bytes.
    pub fn require(&self, address: u64, bytes: u64) -> Result<(), InvalidInput> {
        let error = |field, required: String, actual: String| {
            Err(InvalidInput::new("verifier workspace", field, required, actual))
        };
        let required = self.bytes();
        if address == 0
            || !address.is_multiple_of(WORKSPACE_ALIGNMENT)
            || address.checked_add(required).is_none()
        {
            let wanted =
                format!("an address aligned to {WORKSPACE_ALIGNMENT} bytes with {required} bytes behind it");
            return error("address", wanted, format!("{address:#x}"));
        }
        if bytes < required {
            return error("bytes", format!("at least {required}"), bytes.to_string());
        }
        Ok(())
    }
}
