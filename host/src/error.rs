//! The error of a request that the host can refuse before a launch.

use std::fmt;

/// A field of a request that is not as required.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {field} must be {required}, but is {actual}")]
pub struct InvalidInput {
    /// The operation asked for.
    pub operation: &'static str,
    /// The field at fault.
    pub field: &'static str,
    /// What the field must be.
    pub required: String,
    /// What it is.
    pub actual: String,
}

impl InvalidInput {
    pub(crate) fn new(
        operation: &'static str,
        field: &'static str,
        required: impl fmt::Display,
        actual: impl fmt::Display,
    ) -> Self {
        Self { operation, field, required: required.to_string(), actual: actual.to_string() }
    }
}
