//! The digest that tells a measured entry from one that a person changed.
//!
//! It covers the entry's meaning, not its text: comments, order and spacing are free. It is no signature; it guards
//! against mistakes, not against forgery.

use sha2::{Digest, Sha256};
use toml::Value;

use super::schema::Entry;

/// The certificate that belongs to the content of `entry`; nothing if the content cannot be written at all.
pub(super) fn of(entry: &Entry) -> Option<String> {
    let content = Entry { certificate: None, ..entry.clone() };
    let mut digest = Sha256::new();
    feed(&mut digest, &Value::try_from(content).ok()?);
    Some(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Hashes a value by an encoding of its own, so that the digest outlives changes of any TOML writer: each value is
/// its kind, its size and its bytes; the fields of a table are in alphabetical order.
fn feed(digest: &mut Sha256, value: &Value) {
    match value {
        Value::String(text) => bytes(digest, b's', text.as_bytes()),
        Value::Integer(number) => bytes(digest, b'i', &number.to_le_bytes()),
        Value::Float(number) => bytes(digest, b'f', &number.to_bits().to_le_bytes()),
        Value::Boolean(flag) => bytes(digest, b'b', &[u8::from(*flag)]),
        Value::Datetime(date) => bytes(digest, b'd', date.to_string().as_bytes()),
        Value::Array(items) => {
            bytes(digest, b'a', &(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| feed(digest, item));
        }
        Value::Table(table) => {
            bytes(digest, b't', &(table.len() as u64).to_le_bytes());
            let mut fields: Vec<_> = table.iter().collect();
            fields.sort_unstable_by_key(|&(name, _)| name);
            for (name, value) in fields {
                bytes(digest, b'k', name.as_bytes());
                feed(digest, value);
            }
        }
    }
}

fn bytes(digest: &mut Sha256, kind: u8, bytes: &[u8]) {
    digest.update([kind]);
    digest.update((bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}
