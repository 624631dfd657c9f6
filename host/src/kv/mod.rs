//! The layout of a paged KV cache, and how it follows from what engines have: [tensors](TensorLayout) of one layer, and
//! [compressed rows](CsrTables) in the place of [block tables](BlockTables).

mod block_tables;
mod csr;
mod tensor;

pub use self::{
    block_tables::{BlockTables, CsrTablesMut},
    csr::{BlockTablesMut, CsrTables},
    tensor::{TensorKv, TensorLayout},
};
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

/// The places of a cache: the largest units that both its pages and their tokens are whole numbers of apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Items of a place, a multiple of 8.
    pub(crate) items: u64,
    /// Places from one page to the next.
    pub(crate) of_page: u32,
    /// Places from one token of a page to the next.
    pub(crate) of_token: u32,
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
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

    /// How kernels count the places of tokens, on behalf of `operation`.
    ///
    /// # Errors
    /// The cache has more places than 32 bits can count.
    pub(crate) fn places(&self, operation: &'static str) -> Result<Places, InvalidInput> {
        let common = gcd(self.page_stride, self.token_stride);
        // Kernels multiply places with 32 bits; a power of two that long leaves room enough.
        let items = if common == 0 || common > 1 << 30 { gcd(common, 1 << 30) } else { common };
        let distance = |count: u32, stride: u64| u64::from(count - 1).saturating_mul(stride / items);
        let last = distance(self.pages, self.page_stride)
            .saturating_add(distance(self.page_size, self.token_stride));
        if last > u64::from(u32::MAX) {
            let required =
                "page_stride and token_stride that leave at most 2^32 places of their common divisor";
            return Err(InvalidInput::new(operation, "kv", required, last));
        }
        // A cache of one page, or of pages of one token, may have any stride: it is never taken.
        let of = |stride: u64| u32::try_from(stride / items).unwrap_or(0);
        Ok(Places { items, of_page: of(self.page_stride), of_token: of(self.token_stride) })
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

    #[test]
    fn a_place_is_the_largest_unit_that_pages_and_tokens_are_whole_numbers_of_apart() {
        let places = |layout| PagedKv::dense(layout, 10, 16, 8, 128).places("test").unwrap();
        assert_eq!(places(KvLayout::Nhd), Places { items: 1024, of_page: 16, of_token: 1 });
        assert_eq!(places(KvLayout::Hnd), Places { items: 128, of_page: 128, of_token: 1 });
        let padded = PagedKv { page_stride: 16 * 1024 + 8, ..PagedKv::dense(KvLayout::Nhd, 10, 16, 8, 128) };
        assert_eq!(padded.places("test").unwrap(), Places { items: 8, of_page: 2049, of_token: 128 });
    }

    #[test]
    fn a_cache_of_more_places_than_32_bits_count_is_refused() {
        let cache = |pages| PagedKv {
            page_stride: (1 << 30) + 8,
            ..PagedKv::dense(KvLayout::Nhd, pages, 16, 8, 128)
        };
        assert!(cache(32).places("test").is_ok());
        assert_eq!(cache(33).places("test").unwrap_err().field, "kv");
    }
}
