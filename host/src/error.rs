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

    /// That no variant serves on the device: what one has to be, and why the last that was looked at does not.
    pub(crate) fn no_variant(
        operation: &'static str,
        required: impl fmt::Display,
        reasons: impl Iterator<Item: fmt::Display>,
    ) -> Self {
        let actual = reasons.last().map_or_else(|| "none".into(), |reason| format!("none: {reason}"));
        Self::new(operation, "device", required, actual)
    }
}

/// Refuses an array shorter than `required` items.
pub(crate) fn require_items(
    operation: &'static str,
    field: &'static str,
    actual: usize,
    required: u64,
) -> Result<(), InvalidInput> {
    if (actual as u64) < required {
        return Err(InvalidInput::new(operation, field, format!("at least {required} items long"), actual));
    }
    Ok(())
}

/// Refuses an address that is missing or not a multiple of `alignment` bytes.
pub(crate) fn require_address(
    operation: &'static str,
    field: &'static str,
    address: u64,
    alignment: u64,
) -> Result<(), InvalidInput> {
    if address == 0 || !address.is_multiple_of(alignment) {
        let required = format!("an address aligned to {alignment} bytes");
        return Err(InvalidInput::new(operation, field, required, format!("{address:#x}")));
    }
    Ok(())
}

/// Refuses a softmax scale that is not finite, or not as the binary exponentials of the back ends need it.
pub(crate) fn require_scale(operation: &'static str, scale: f32) -> Result<(), InvalidInput> {
    if !(scale * std::f32::consts::LOG2_E).is_finite() {
        return Err(InvalidInput::new(operation, "scale", "finite, also times log2(e)", scale));
    }
    Ok(())
}

/// Refuses a softmax scale that is not positive, or that [`require_scale`] refuses: back ends compare scores before they scale
/// them.
pub(crate) fn require_positive_scale(operation: &'static str, scale: f32) -> Result<(), InvalidInput> {
    require_scale(operation, scale)?;
    if scale <= 0.0 {
        return Err(InvalidInput::new(operation, "scale", "positive", scale));
    }
    Ok(())
}
