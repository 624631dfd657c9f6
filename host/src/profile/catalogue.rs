//! The variants that a choice may name.

use std::borrow::Cow;

use super::{
    key::{IndexSet, Key, KvDtype, KvScale, Mask},
    schema::{Choice, Launch},
    validate,
};
use crate::InvalidInput;

/// The variants of one build on one device, as far as a profile has to know them. The kernel is the key's.
pub trait Catalogue {
    /// The variant of this stable id for the key's kernel on the key's kind of device.
    fn variant(&self, key: &Key, id: &str) -> Option<Known<'_>>;

    /// Whether the variant, launched so, serves every problem of the key's bucket.
    ///
    /// # Errors
    /// The first property of the variant, or launch parameter, that is not as the key needs it.
    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput>;

    /// The choice of a build without a profile; nothing if no variant serves the key.
    fn default(&self, key: &Key) -> Option<Choice>;
}

/// What a choice is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// SHA-256 of the variant's PTX, in hexadecimal; a CPU variant has none.
    pub ptx_digest: Option<Cow<'a, str>>,
}

impl<T: Catalogue + ?Sized> Catalogue for &T {
    fn variant(&self, key: &Key, id: &str) -> Option<Known<'_>> {
        (**self).variant(key, id)
    }

    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput> {
        (**self).check(key, id, launch)
    }

    fn default(&self, key: &Key) -> Option<Choice> {
        (**self).default(key)
    }
}

/// Refuses, on behalf of `operation`, what a key can say and no back end can do yet.
///
/// # Errors
/// The first field at fault.
pub(super) fn contract(operation: &'static str, key: &Key) -> Result<(), InvalidInput> {
    let error =
        |field, required: &str, actual: String| Err(InvalidInput::new(operation, field, required, actual));
    validate::key(key)?;
    if key.kv_dtype != KvDtype::from(key.dtype) {
        return error("key.kv_dtype", "that of the queries", format!("{:?}", key.kv_dtype));
    }
    if key.kv_scale != KvScale::None {
        return error("key.kv_scale", "None", format!("{:?}", key.kv_scale));
    }
    if key.mask != Mask::Causal {
        return error("key.mask", "Causal", format!("{:?}", key.mask));
    }
    if key.index_set != IndexSet::PerSequence {
        return error("key.index_set", "PerSequence", format!("{:?}", key.index_set));
    }
    Ok(())
}
