//! One layer's caches in host memory.

use super::overlap::require_disjoint;
use crate::{
    error::{InvalidInput, require_items},
    kv::PagedKv,
};

/// The caches of keys and of values of one layer, to be written. 16-bit items as their bits.
#[derive(Debug)]
pub enum LayerMut<'a> {
    /// Two arrays.
    Separate {
        /// The key cache.
        key: &'a mut [u16],
        /// The value cache.
        value: &'a mut [u16],
    },
    /// One array, in which values lie between keys.
    Interleaved {
        /// The array, which the key cache begins with.
        items: &'a mut [u16],
        /// Items from a key to its value.
        value: u64,
    },
}

/// Which of a layer's caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Key,
    Value,
}

impl LayerMut<'_> {
    /// Checks on behalf of `operation` that the arrays hold caches of the shape of `kv`, and that keys and values lie apart.
    ///
    /// # Errors
    /// The first array that is too short, or keys and values that overlap.
    pub fn validate(&self, operation: &'static str, kv: &PagedKv) -> Result<(), InvalidInput> {
        let extent = kv.extent();
        match self {
            Self::Separate { key, value } => {
                require_items(operation, "key_cache", key.len(), extent)?;
                require_items(operation, "value_cache", value.len(), extent)
            }
            Self::Interleaved { items, value } => {
                require_disjoint(operation, kv, Some(*value))?;
                require_items(operation, "cache", items.len(), extent.saturating_add(*value))
            }
        }
    }

    /// Hands each of the two caches to `write`.
    pub(crate) fn each(&mut self, mut write: impl FnMut(Half, &mut [u16])) {
        match self {
            Self::Separate { key, value } => {
                write(Half::Key, key);
                write(Half::Value, value);
            }
            Self::Interleaved { items, value } => {
                write(Half::Key, items);
                write(Half::Value, &mut items[*value as usize..]);
            }
        }
    }
}

/// The caches of one layer, in an array of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Both caches; the key cache begins with the array.
    pub items: Vec<u16>,
    /// Items from a key to its value.
    pub value: u64,
    /// Whether the value cache lies behind the key cache, and so is an array of its own.
    pub separate: bool,
}

impl Layer {
    /// The caches, to be written.
    #[must_use]
    pub fn as_mut(&mut self) -> LayerMut<'_> {
        if self.separate {
            let (key, value) = self.items.split_at_mut(self.value as usize);
            LayerMut::Separate { key, value }
        } else {
            LayerMut::Interleaved { items: &mut self.items, value: self.value }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KvLayout;

    #[test]
    fn caches_that_are_too_short_or_overlap_are_refused_by_name() {
        let dense = PagedKv::dense(KvLayout::Hnd, 4, 2, 3, 64);
        let (page, items) = (dense.page_stride, dense.extent() as usize);
        let separate = |key: usize, value: usize| {
            let (mut key, mut value) = (vec![0; key], vec![0; value]);
            LayerMut::Separate { key: &mut key, value: &mut value }.validate("test", &dense)
        };
        assert_eq!(separate(items, items), Ok(()));
        assert_eq!(separate(items - 1, items).unwrap_err().field, "key_cache");
        assert_eq!(separate(items, items - 1).unwrap_err().field, "value_cache");
        let turns = PagedKv { page_stride: 2 * page, ..dense };
        let interleaved = |len: usize, value| {
            LayerMut::Interleaved { items: &mut vec![0; len], value }.validate("test", &turns)
        };
        assert_eq!(interleaved(2 * items, page), Ok(()));
        assert_eq!(interleaved(2 * items - 1, page).unwrap_err().field, "cache");
        assert_eq!(interleaved(2 * items, 8).unwrap_err().field, "value - key");
    }
}
