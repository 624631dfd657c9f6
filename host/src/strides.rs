//! Distances between the rows of arrays, in items.

use crate::error::InvalidInput;

/// Items from the start of the first of `count` rows to the end of the last, 0 if there are none: absurd strides
/// saturate, and are refused as arrays that are too short.
pub(crate) fn span(count: u64, stride: u64, width: u64) -> u64 {
    count.checked_sub(1).map_or(0, |gaps| gaps.saturating_mul(stride).saturating_add(width))
}

/// Refuses a stride between head vectors that would misalign them.
pub(crate) fn require_vectors(
    operation: &'static str,
    field: &'static str,
    stride: u64,
) -> Result<(), InvalidInput> {
    if !stride.is_multiple_of(8) || stride > 1 << 40 {
        return Err(InvalidInput::new(operation, field, "a multiple of 8 items, at most 2^40", stride));
    }
    Ok(())
}

/// Refuses a stride between rows of `width` items that would let them overlap.
pub(crate) fn require_rows(
    operation: &'static str,
    field: &'static str,
    stride: u64,
    width: u32,
) -> Result<(), InvalidInput> {
    if stride < width.into() || stride > 1 << 40 {
        return Err(InvalidInput::new(operation, field, format!("from {width} to 2^40 items"), stride));
    }
    Ok(())
}
