//! What the keys of kernels that read a paged cache have in common.

use std::fmt;

use dustin_kernels::registry::Dtype;

use super::{
    OPERATION,
    words::{KvDtype, KvScale},
};
use crate::{InvalidInput, kv::KvLayout};

/// Types and shapes of queries and caches.
pub(super) struct Cache {
    pub(super) dtype: Dtype,
    pub(super) kv_dtype: KvDtype,
    pub(super) kv_scale: KvScale,
    pub(super) head_dim: u32,
    pub(super) query_heads: u32,
    pub(super) kv_heads: u32,
    pub(super) layout: KvLayout,
    pub(super) page_size: u32,
}

impl Cache {
    /// Query heads that share one KV head; 0 if there are no KV heads.
    pub(super) const fn group(&self) -> u32 {
        match self.query_heads.checked_div(self.kv_heads) {
            Some(group) => group,
            None => 0,
        }
    }

    /// Checks that a valid problem can have them.
    ///
    /// # Errors
    /// The first field that no valid problem has.
    pub(super) fn validate(&self) -> Result<(), InvalidInput> {
        let error =
            |field, required: String, actual: u32| Err(InvalidInput::new(OPERATION, field, required, actual));
        if self.kv_heads == 0 || self.kv_heads > 65_535 {
            return error("key.kv_heads", "from 1 to 65535".into(), self.kv_heads);
        }
        if self.head_dim == 0 || self.head_dim > 1024 {
            return error("key.head_dim", "from 1 to 1024".into(), self.head_dim);
        }
        if self.query_heads == 0 || !self.query_heads.is_multiple_of(self.kv_heads) || self.group() > 16 {
            let required = format!("1 to 16 times the {} KV heads", self.kv_heads);
            return error("key.query_heads", required, self.query_heads);
        }
        if !self.page_size.is_power_of_two() || self.page_size > 256 {
            return error("key.page_size", "a power of two from 1 to 256".into(), self.page_size);
        }
        Ok(())
    }

    /// Refuses, on behalf of `operation`, what no back end can do yet.
    ///
    /// # Errors
    /// The first field at fault.
    pub(super) fn require_supported(&self, operation: &'static str) -> Result<(), InvalidInput> {
        if self.kv_dtype != KvDtype::from(self.dtype) {
            let actual = format!("{:?}", self.kv_dtype);
            return Err(InvalidInput::new(operation, "key.kv_dtype", "that of the queries", actual));
        }
        if self.kv_scale != KvScale::None {
            let actual = format!("{:?}", self.kv_scale);
            return Err(InvalidInput::new(operation, "key.kv_scale", "None", actual));
        }
        Ok(())
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dtype, kv_dtype, head_dim, query_heads, kv_heads, layout, page_size, .. } = self;
        write!(
            f,
            "{dtype:?}/{kv_dtype:?} d{head_dim}, {query_heads}/{kv_heads} heads, {layout:?}, page {page_size}"
        )
    }
}
