//! One tuner for each device: two at a time would time each other.
//!
//! | file | what it holds |
//! |---|---|
//! | `socket` | a lock of the machine on Linux |
//! | `file` | the same elsewhere |
//! | `profile` | the lock of a profile, while it is read and written |

#[cfg(not(target_os = "linux"))]
mod file;
mod profile;
#[cfg(target_os = "linux")]
mod socket;

use std::{env, io, thread, time::Duration};

#[cfg(not(target_os = "linux"))]
use self::file as system;
pub(crate) use self::profile::lock as lock_profile;
#[cfg(target_os = "linux")]
use self::socket as system;
use crate::{console::Stop, device::Device};

/// How often it is asked whether a device is free again.
const PATIENCE: Duration = Duration::from_millis(200);

/// Names another set of locks than the machine's: tests run side by side, and each has the CPU for itself.
const VARIABLE: &str = "DUSTIN_AUTOTUNE_LOCKS";

/// Held while a device is measured; the system releases it with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: system::Held,
}

/// The device cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Somebody else measures it.
    #[error("{device} is being measured by {holder}: wait for it with --wait, or choose another device")]
    Held {
        /// The device.
        device: String,
        /// The process, by its own number, if it says so.
        holder: String,
    },
    /// The user does not want to wait any longer.
    #[error("interrupted while waiting for {device}")]
    Interrupted {
        /// The device.
        device: String,
    },
    /// The system has no lock to give.
    #[error("{device} cannot be locked ({source}), so others could measure it at the same time")]
    Unusable {
        /// The device.
        device: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock of `device`, or waits for it until `stop` says otherwise.
    ///
    /// # Errors
    /// Somebody else has it, and `wait` is not asked for; the system has none to give.
    pub(crate) fn take(device: &Device, wait: bool, stop: &Stop) -> Result<Self, LockError> {
        let name = match env::var(VARIABLE) {
            Ok(set) => format!("dustin-autotune/{set}/{}", device.place()),
            Err(_) => format!("dustin-autotune/{}", device.place()),
        };
        let shown = || device.to_string();
        loop {
            match system::try_hold(&name) {
                Ok(Some(held)) => return Ok(Self { _held: held }),
                Ok(None) if stop.asked() => return Err(LockError::Interrupted { device: shown() }),
                Ok(None) if wait => thread::sleep(PATIENCE),
                Ok(None) => {
                    let holder = system::holder(&name).map(|number| format!("process {number}"));
                    let holder = holder.unwrap_or_else(|| "another process".into());
                    return Err(LockError::Held { device: shown(), holder });
                }
                Err(source) => return Err(LockError::Unusable { device: shown(), source }),
            }
        }
    }
}
