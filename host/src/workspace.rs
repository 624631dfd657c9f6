//! The workspace of launches that need it for no more than what they report.

use std::ops::Range;

/// Where the parts of a launch's workspace lie, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceLayout {
    /// The sticky status word, one u64: zeroed by the caller, raised by launches.
    pub status: Range<u64>,
}

impl WorkspaceLayout {
    pub(crate) const NEW: Self = Self { status: 0..8 };

    /// Bytes in all.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.status.end
    }

    /// The bytes that must be zero before the first launch, from the workspace's start.
    #[must_use]
    pub const fn zeroed_bytes(&self) -> u64 {
        self.status.end
    }
}
