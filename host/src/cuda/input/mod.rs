//! The arrays of problems in device memory, for callers that do not bring their own.

mod accept;
mod attention;
mod cache;
mod capture;
mod score;
mod select;

pub use accept::{DeviceAcceptInput, DeviceAcceptOutput, DeviceScores};
pub use attention::{DeviceInput, DeviceItems, DeviceOutput};
pub use cache::{AppendTarget, DeviceAppendInput, DeviceCompactInput, DeviceLayer, DeviceStep};
pub use capture::DeviceCaptureInput;
pub use score::{DeviceScoreInput, DeviceSource};
pub use select::{DeviceSelectInput, DeviceSelectOutput};

/// All bits set are a NaN of every floating-point type, and -1 of every integer.
const ALL_ONES: u8 = 0xff;
