//! Head subsets for sparse verification: what a calibration capture says of which heads find the tokens that matter.
//!
//! | module | what it holds |
//! |---|---|
//! | [`calibration`] | reading captures: mapped, validated, a layer of a prompt at a time |
//! | [`ranking`] | rankings of heads: CompressKV's published files, and a capture's own scores |

pub mod calibration;
pub mod ranking;

pub use calibration::{CalibrationError, Capture};
