//! Head subsets for sparse verification: what a calibration capture says of which heads find the tokens that matter.
//!
//! | module | what it holds |
//! |---|---|
//! | [`calibration`] | reading captures: mapped, validated, a layer of a prompt at a time |
//! | [`ranking`] | rankings of heads: CompressKV's published files, and a capture's own scores |
//! | [`fidelity`] | what verification sets keep of the full attention, and how sure that is |
//! | [`search`] | which heads and budgets keep enough at the least cost |
//! | [`verify`] | a verification step of a capture, as a verifier runs it |
//! | [`synthetic`] | captures made up from a seed, with heads that are known to be good |

pub mod calibration;
pub mod fidelity;
mod field;
pub mod ranking;
pub mod search;
pub mod synthetic;
pub mod verify;

pub use self::{
    calibration::{CalibrationError, Capture},
    field::FieldError,
};
