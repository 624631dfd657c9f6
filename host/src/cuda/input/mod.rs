//! The arrays of problems in device memory, for callers that do not bring their own.

mod attention;
mod score;

pub use attention::{DeviceInput, DeviceItems, DeviceOutput};
pub use score::{DeviceScoreInput, DeviceSource};

/// All bits set are a NaN of every floating-point type.
const NAN_BYTE: u8 = 0xff;
