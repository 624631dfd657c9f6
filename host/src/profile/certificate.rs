//! The digest that tells a measured entry from one that a person changed.
//!
//! It covers the entry's meaning, not its text: comments, order and spacing are free. It is no signature; it guards
//! against mistakes, not against forgery.

use sha2::{Digest, Sha256};

use super::schema::Entry;

/// The certificate that belongs to the content of `entry`: the SHA-256 of its compact JSON, which no TOML writer's
/// taste changes; nothing if the content cannot be expressed at all.
pub(super) fn of(entry: &Entry) -> Option<String> {
    let content = serde_json::to_vec(&Entry { certificate: None, ..entry.clone() }).ok()?;
    Some(Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect())
}
