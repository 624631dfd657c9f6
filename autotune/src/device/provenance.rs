//! The parts of a provenance that do not depend on the device.

use jiff::{Timestamp, Unit};
use sha2::{Digest, Sha256};

/// The SHA-256, in hexadecimal, of lines.
pub(super) fn digest(lines: impl IntoIterator<Item = String>) -> String {
    let mut digest = Sha256::new();
    for line in lines {
        digest.update(line);
        digest.update(b"\n");
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The date and time, RFC 3339, to the second.
pub(crate) fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}
