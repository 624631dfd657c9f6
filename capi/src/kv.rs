//! Paged caches.

use std::ffi::c_void;

use dustin::{
    Dtype, InvalidInput,
    kv::{KvLayout, PagedKv},
};

use crate::{
    boundary::call,
    error::invalid,
    status::dustin_status,
    words::{DTYPES, FLAGS, Words, dustin_dtype, require_reserved},
};

/// A paged cache of keys and one of values, of the same shape and strides: two arrays, or one interleaved one whose page stride
/// covers both. Items of a head are contiguous. Strides count items, not bytes, and are multiples of 8.
///
/// It is part of other structs and never grows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct dustin_paged_kv {
    /// Pages of the cache: 1 to 2^31 - 1.
    pub pages: u32,
    /// Tokens of a page: a power of two, 1 to 256.
    pub page_size: u32,
    /// KV heads of this rank.
    pub kv_heads: u32,
    /// Items of a head: 64 or 128.
    pub head_dim: u32,
    /// Items from one page to the next.
    pub page_stride: u64,
    /// Items from one token of a page to the next.
    pub token_stride: u64,
    /// Items from one KV head to the next.
    pub kv_head_stride: u64,
    /// Element type of the cached items, a `dustin_dtype`; that of the queries as yet.
    pub dtype: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

/// The order of a page's items.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_kv_layout {
    /// `[pages, page_size, kv_heads, head_dim]`.
    Nhd = 1,
    /// `[pages, kv_heads, page_size, head_dim]`.
    Hnd = 2,
}

pub(crate) const LAYOUTS: Words<KvLayout> = Words {
    name: "dustin_kv_layout",
    values: &[(dustin_kv_layout::Nhd as u32, KvLayout::Nhd), (dustin_kv_layout::Hnd as u32, KvLayout::Hnd)],
};

/// Sets the strides of `kv` from its shape and a `dustin_kv_layout`.
///
/// `interleaved` is 0 for keys and values in two arrays, and 1 for one array `[pages, 2, ...]`, in which each page of keys stands
/// before that of values: the value cache then begins one dense page behind the key cache.
///
/// # Safety
/// `kv` is null, or may be read and written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_paged_kv_set_strides(
    kv: *mut dustin_paged_kv,
    layout: u32,
    interleaved: u32,
) -> dustin_status {
    const OPERATION: &str = "paged KV cache";
    call(OPERATION, || {
        // SAFETY: the caller's promise.
        let Some(kv) = (unsafe { kv.as_mut() }) else {
            return Err(invalid(OPERATION, "kv", "the address of a dustin_paged_kv", "null").into());
        };
        let layout = LAYOUTS.read(OPERATION, "layout", layout)?;
        let turns = FLAGS.read(OPERATION, "interleaved", interleaved)?;
        let dense = PagedKv::dense(layout, kv.pages, kv.page_size, kv.kv_heads, kv.head_dim);
        kv.page_stride = dense.page_stride.saturating_mul(if turns { 2 } else { 1 });
        (kv.token_stride, kv.kv_head_stride) = (dense.token_stride, dense.kv_head_stride);
        Ok(())
    })
}

impl dustin_paged_kv {
    /// The cache, and the element type of its items.
    ///
    /// # Errors
    /// Its element type is none, or one that is not served yet.
    pub(crate) fn read(&self, operation: &'static str) -> Result<(PagedKv, Dtype), InvalidInput> {
        if self.dtype == dustin_dtype::Fp8E4m3 as u32 {
            let required = "DUSTIN_DTYPE_BF16 or DUSTIN_DTYPE_F16, as fp8 caches are not served yet";
            return Err(invalid(operation, "kv.dtype", required, self.dtype));
        }
        let dtype = DTYPES.read(operation, "kv.dtype", self.dtype)?;
        require_reserved(operation, &[("kv.reserved", self.reserved)])?;
        let Self { pages, page_size, kv_heads, head_dim, page_stride, token_stride, kv_head_stride, .. } =
            *self;
        let kv = PagedKv { pages, page_size, kv_heads, head_dim, page_stride, token_stride, kv_head_stride };
        Ok((kv, dtype))
    }

    /// The cache, of items of the element type `dtype`.
    ///
    /// # Errors
    /// As [`read`](Self::read), or its items are of another type.
    pub(crate) fn of(&self, operation: &'static str, dtype: Dtype) -> Result<PagedKv, InvalidInput> {
        let (kv, actual) = self.read(operation)?;
        if actual != dtype {
            let required = format!("that of the queries, {dtype:?}");
            return Err(invalid(operation, "kv.dtype", required, format!("{actual:?}")));
        }
        Ok(kv)
    }
}

/// Refuses scales: there are no caches that need them yet.
pub(crate) fn require_no_scales<const N: usize>(
    operation: &'static str,
    scales: [(&'static str, *const c_void); N],
) -> Result<(), InvalidInput> {
    match scales.into_iter().find(|(_, scale)| !scale.is_null()) {
        Some((field, scale)) => {
            let required = "null, as caches with scales are not served yet";
            Err(invalid(operation, field, required, format!("{:#x}", scale.addr())))
        }
        None => Ok(()),
    }
}
