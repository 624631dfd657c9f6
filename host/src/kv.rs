//! The layout of a paged KV cache.

use crate::{
    error::InvalidInput,
    strides::{require_vectors, span},
};

/// The order of a page's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KvLayout {
    /// `[pages, page_size, kv_heads, head_dim]`.
    Nhd,
    /// `[pages, kv_heads, page_size, head_dim]`.
    Hnd,
}

/// A paged cache of keys and one of values, of the same shape and strides: two arrays, or one interleaved one whose
/// page stride covers both. `head_dim` items are contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PagedKv {
    /// Pages in the cache.
    pub pages: u32,
    /// Tokens in a page: a power of two, 1 to 256.
    pub page_size: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Items in a head.
    pub head_dim: u32,
    /// Items (elements, not bytes) from one page to the next; a multiple of 8, as are the other strides.
    pub page_stride: u64,
    /// Items from one token of a page to the next.
    pub token_stride: u64,
    /// Items from one KV head to the next.
    pub kv_head_stride: u64,
}

impl PagedKv {
    /// A dense cache in `layout`, keys and values in two arrays. Strides that cannot be counted saturate, which no
    /// valid cache has.
    #[must_use]
    pub fn dense(layout: KvLayout, pages: u32, page_size: u32, kv_heads: u32, head_dim: u32) -> Self {
        let (page, heads, dim) = (u64::from(page_size), u64::from(kv_heads), u64::from(head_dim));
        let (token_stride, kv_head_stride) = match layout {
            KvLayout::Nhd => (heads * dim, dim),
            KvLayout::Hnd => (dim, page * dim),
        };
        Self {
            pages,
            page_size,
            kv_heads,
            head_dim,
            page_stride: (page * heads).saturating_mul(dim),
            token_stride,
            kv_head_stride,
        }
    }

    /// The layout that the strides amount to, as tuning keys name it: the order of the two inner strides. A page of
    /// one token or one KV head has but one order, called NHD.
    #[must_use]
    pub const fn layout(&self) -> KvLayout {
        if self.kv_heads == 1 || self.page_size == 1 || self.token_stride >= self.kv_head_stride {
            KvLayout::Nhd
        } else {
            KvLayout::Hnd
        }
    }

    /// Items from the start of the array to the last item's end, `u64::MAX` if that cannot be counted.
    #[must_use]
    pub fn extent(&self) -> u64 {
        if self.pages == 0 || self.page_size == 0 || self.kv_heads == 0 {
            return 0;
        }
        let heads = span(self.kv_heads.into(), self.kv_head_stride, self.head_dim.into());
        span(self.pages.into(), self.page_stride, span(self.page_size.into(), self.token_stride, heads))
    }

    /// Item offset of the head vector of `token` of `page`.
    #[must_use]
    pub fn offset(&self, page: u32, token: u32, kv_head: u32) -> u64 {
        u64::from(page) * self.page_stride
            + u64::from(token) * self.token_stride
            + u64::from(kv_head) * self.kv_head_stride
    }

    /// Checks the shape and the strides on behalf of `operation`.
    ///
    /// # Errors
    /// The first field that is not as documented.
    pub fn validate(&self, operation: &'static str) -> Result<(), InvalidInput> {
        let error =
            |field, required: &str, actual: u64| Err(InvalidInput::new(operation, field, required, actual));
        if !self.page_size.is_power_of_two() || self.page_size > 256 {
            return error("kv.page_size", "a power of two from 1 to 256", self.page_size.into());
        }
        if self.pages == 0 || self.pages > i32::MAX as u32 {
            return error("kv.pages", "from 1 to 2^31 - 1", self.pages.into());
        }
        if self.kv_heads == 0 {
            return error("kv.kv_heads", "at least 1", 0);
        }
        if !matches!(self.head_dim, 64 | 128) {
            return error("kv.head_dim", "64 or 128", self.head_dim.into());
        }
        let strides = [
            ("kv.page_stride", self.page_stride),
            ("kv.token_stride", self.token_stride),
            ("kv.kv_head_stride", self.kv_head_stride),
        ];
        for (field, stride) in strides {
            require_vectors(operation, field, stride)?;
        }
        Ok(())
    }

    /// Checks on behalf of `operation` that `query_heads` share the KV heads in groups of at most 16.
    ///
    /// # Errors
    /// They do not.
    pub(crate) fn require_query_heads(
        &self,
        operation: &'static str,
        query_heads: u32,
    ) -> Result<(), InvalidInput> {
        if query_heads == 0 || !query_heads.is_multiple_of(self.kv_heads) {
            let required = format!("a multiple of the {} KV heads", self.kv_heads);
            return Err(InvalidInput::new(operation, "query_heads", required, query_heads));
        }
        let group = query_heads / self.kv_heads;
        if group > 16 {
            return Err(InvalidInput::new(operation, "query_heads / kv_heads", "from 1 to 16", group));
        }
        Ok(())
    }

    /// Checks on behalf of `operation` that a block table of `table_width` pages has room for 1 to 2^31 - 1 tokens.
    ///
    /// # Errors
    /// It has not.
    pub(crate) fn require_table(
        &self,
        operation: &'static str,
        table_width: u32,
    ) -> Result<(), InvalidInput> {
        if table_width == 0 || u64::from(table_width) * u64::from(self.page_size) > i32::MAX as u64 {
            let required = "at least 1, with table_width · page_size below 2^31";
            return Err(InvalidInput::new(operation, "table_width", required, table_width));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kv_head_or_one_token_to_a_page_is_the_same_layout_under_both_names() {
        for (page_size, kv_heads) in [(16, 1), (1, 8), (1, 1)] {
            let cache = |layout| PagedKv::dense(layout, 10, page_size, kv_heads, 128).layout();
            assert_eq!(cache(KvLayout::Hnd), cache(KvLayout::Nhd), "{page_size} tokens, {kv_heads} heads");
        }
        let cache = |layout| PagedKv::dense(layout, 10, 16, 8, 128).layout();
        assert_eq!([cache(KvLayout::Nhd), cache(KvLayout::Hnd)], [KvLayout::Nhd, KvLayout::Hnd]);
    }

    #[test]
    fn a_cache_of_absurd_size_is_refused_and_does_not_overflow() {
        let kv = PagedKv::dense(KvLayout::Hnd, u32::MAX, u32::MAX, u32::MAX, u32::MAX);
        assert_eq!(kv.extent(), u64::MAX);
        assert_eq!(kv.validate("test").unwrap_err().field, "kv.page_size");
    }
}
