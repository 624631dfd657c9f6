//! One tuner for each device: two at a time would time each other.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::PathBuf,
    thread,
    time::Duration,
};

use crate::{console::Stop, device::Device};

/// How often it is asked whether a device is free again.
const PATIENCE: Duration = Duration::from_millis(200);

/// Held while a device is measured; the system releases it with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// The device cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Somebody else measures it.
    #[error(
        "{device} is being measured by process {holder}: wait for it with --wait, or choose another device"
    )]
    Held {
        /// The device.
        device: String,
        /// The process's number.
        holder: String,
    },
    /// The user does not want to wait any longer.
    #[error("interrupted while waiting for {device}")]
    Interrupted {
        /// The device.
        device: String,
    },
    /// The lock's file cannot be used.
    #[error("the lock {path} cannot be taken: {source}; set XDG_RUNTIME_DIR to a folder that can be written")]
    Unusable {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock of `device`, or waits for it until `stop` says otherwise.
    ///
    /// # Errors
    /// Somebody else has it, and `wait` is not asked for; the file cannot be used.
    pub(crate) fn take(device: &Device, wait: bool, stop: &Stop) -> Result<Self, LockError> {
        let path = folder().join(format!("{}.lock", device.place()));
        let unusable = |source| LockError::Unusable { path: path.display().to_string(), source };
        fs::create_dir_all(folder()).map_err(unusable)?;
        let mut file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => return Err(unusable(source)),
                Err(TryLockError::WouldBlock) if stop.asked() => {
                    return Err(LockError::Interrupted { device: device.to_string() });
                }
                Err(TryLockError::WouldBlock) if wait => thread::sleep(PATIENCE),
                Err(TryLockError::WouldBlock) => {
                    let holder = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
                    return Err(LockError::Held { device: device.to_string(), holder });
                }
            }
        }
        // The file stays behind, so that nobody waits for one that is there no longer.
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

/// Where locks lie: the user's folder for what does not outlive the system, or one like it.
fn folder() -> PathBuf {
    let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let user = env::var("USER").unwrap_or_default();
    own.unwrap_or_else(|| env::temp_dir().join(format!("runtime-{user}"))).join("dustin-autotune")
}
