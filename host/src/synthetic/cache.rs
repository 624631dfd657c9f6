//! Caches and the block tables over them.

use rand::seq::SliceRandom;

use super::items::{Items, Spread, room};
use crate::{
    error::InvalidInput,
    kv::{KvLayout, PagedKv},
};

/// The pages of a cache that no table names yet, in random order.
pub(crate) struct FreePages(std::vec::IntoIter<u32>);

impl FreePages {
    pub(crate) fn new(kv: &PagedKv, items: &mut Items) -> Result<Self, InvalidInput> {
        let mut pages = room(kv.pages.into())?;
        pages.extend(0..kv.pages);
        pages.shuffle(&mut items.rng);
        Ok(Self(pages.into_iter()))
    }

    /// Gives each of the `entries` a page of its own, as long as there are any.
    pub(crate) fn fill(&mut self, entries: &mut [i32]) {
        for (entry, page) in entries.iter_mut().zip(&mut self.0) {
            *entry = page as i32;
        }
    }
}

impl Items {
    /// Fills the head vectors of the cached token at `position` of the sequence with the block table `table`, in each of
    /// `caches`.
    pub(crate) fn fill_token(
        &mut self,
        kv: &PagedKv,
        table: &[i32],
        position: u32,
        caches: &mut [&mut [u16]],
    ) {
        let page = table[(position / kv.page_size) as usize] as u32;
        for head in 0..kv.kv_heads {
            let start = kv.offset(page, position % kv.page_size, head) as usize;
            for cache in &mut *caches {
                self.fill(&mut cache[start..start + kv.head_dim as usize], Spread::One);
            }
        }
    }
}

/// A cache whose every stride leaves a gap of `gap` items.
pub(crate) fn padded_cache(dense: PagedKv, layout: KvLayout, gap: u64) -> PagedKv {
    let (page, heads) = (u64::from(dense.page_size), u64::from(dense.kv_heads));
    let inner = u64::from(dense.head_dim) + gap;
    let (token_stride, kv_head_stride, page_stride) = match layout {
        KvLayout::Nhd => (heads * inner + gap, inner, page * (heads * inner + gap) + gap),
        KvLayout::Hnd => (inner, page * inner + gap, heads * (page * inner + gap) + gap),
    };
    PagedKv { token_stride, kv_head_stride, page_stride, ..dense }
}
