//! Caches in engines' tensors.

use dustin::{
    InvalidInput,
    kv::{KvLayout, PagedKv, TensorLayout},
};

use crate::{
    boundary::call,
    error::invalid,
    kv::{LAYOUTS, dustin_paged_kv},
    memory::slice,
    status::dustin_status,
    text,
    words::{DTYPES, Words},
};

const OPERATION: &str = "cache tensor";

/// Which dimensions the tensor of a layer's cache has beside those of a `dustin_kv_layout`, which is the order of its shape. How they
/// lie in memory is the strides' to say: a tensor of NHD shape may be HND in memory, as vLLM's are where it is told so.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_kv_tensor {
    /// Keys alone, or values alone: `[pages, page_size, kv_heads, head_dim]`, or HND. FlashInfer's tuple of two tensors, and a layer's
    /// buffers in SGLang, with pages of one token.
    Alone = 1,
    /// `[pages, 2, page_size, kv_heads, head_dim]`, or HND: FlashInfer's single tensor, and that of vLLM's backends that have blocks
    /// first.
    PagesFirst = 2,
    /// `[2, pages, page_size, kv_heads, head_dim]`, or HND: that of vLLM's FlashAttention backend.
    KeysFirst = 3,
    /// `[pages, page_size, kv_heads, 2 * head_dim]`, or HND, a head's value behind its key: that of vLLM's backends that pack both.
    Packed = 4,
}

const TENSORS: Words<fn(KvLayout) -> TensorLayout> = Words {
    name: "dustin_kv_tensor",
    values: &[
        (dustin_kv_tensor::Alone as u32, TensorLayout::Alone),
        (dustin_kv_tensor::PagesFirst as u32, TensorLayout::PagesFirst),
        (dustin_kv_tensor::KeysFirst as u32, TensorLayout::KeysFirst),
        (dustin_kv_tensor::Packed as u32, TensorLayout::Packed),
    ],
};

/// Fills `kv` with the cache in a tensor of `dimensions` dimensions, whose sizes and strides are as PyTorch and DLPack have them: strides
/// count items, and those of dimensions of one item are not looked at. `tensor` is a `dustin_kv_tensor`, `layout` a
/// `dustin_kv_layout`, `dtype` a `dustin_dtype`. `value` gets the items from the tensor's start, where the keys begin, to where the
/// values do: the value cache of a launch is the tensor's address and twice as many bytes. It is 0 where they are in a tensor of
/// their own. Nothing is copied.
///
/// # Safety
/// `shape` and `strides` are null or have `dimensions` numbers; `kv` and `value` are null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_paged_kv_from_tensor(
    shape: *const i64,
    strides: *const i64,
    dimensions: u32,
    tensor: u32,
    layout: u32,
    dtype: u32,
    kv: *mut dustin_paged_kv,
    value: *mut u64,
) -> dustin_status {
    call(OPERATION, || {
        let layout = TENSORS.read(OPERATION, "tensor", tensor)?(LAYOUTS.read(OPERATION, "layout", layout)?);
        // SAFETY: the caller's promise.
        let (shape, strides) =
            unsafe { (numbers("shape", shape, dimensions)?, numbers("strides", strides, dimensions)?) };
        let found = PagedKv::from_tensor(shape, strides, layout)?;
        // SAFETY: as above.
        unsafe {
            put(found.kv, dtype, kv)?;
            text::number(OPERATION, "value", value, found.value.unwrap_or(0))?;
        }
        Ok(())
    })
}

/// Fills `kv` with the cache in a tensor of keys and one of values, of four dimensions each in the order of `layout`, a
/// `dustin_kv_layout`: FlashInfer's tuple, and SGLang's pools viewed with pages of one token. Both must be alike.
///
/// # Safety
/// The sizes and strides are null or 4 numbers each; `kv` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_paged_kv_from_pair(
    key_shape: *const i64,
    key_strides: *const i64,
    value_shape: *const i64,
    value_strides: *const i64,
    layout: u32,
    dtype: u32,
    kv: *mut dustin_paged_kv,
) -> dustin_status {
    call(OPERATION, || {
        let layout = LAYOUTS.read(OPERATION, "layout", layout)?;
        // SAFETY: the caller's promise.
        let found = unsafe {
            PagedKv::from_pair(
                (numbers("key_shape", key_shape, 4)?, numbers("key_strides", key_strides, 4)?),
                (numbers("value_shape", value_shape, 4)?, numbers("value_strides", value_strides, 4)?),
                layout,
            )?
        };
        // SAFETY: as above.
        unsafe { put(found, dtype, kv)? };
        Ok(())
    })
}

/// # Safety
/// As [`slice`].
unsafe fn numbers<'a>(
    field: &'static str,
    pointer: *const i64,
    count: u32,
) -> Result<&'a [i64], InvalidInput> {
    // SAFETY: the caller's promise.
    unsafe { slice(OPERATION, field, pointer.cast(), count.into()) }
}

/// # Safety
/// `place` is null or may be written.
unsafe fn put(kv: PagedKv, dtype: u32, place: *mut dustin_paged_kv) -> Result<(), InvalidInput> {
    let found = dustin_paged_kv {
        pages: kv.pages,
        page_size: kv.page_size,
        kv_heads: kv.kv_heads,
        head_dim: kv.head_dim,
        page_stride: kv.page_stride,
        token_stride: kv.token_stride,
        kv_head_stride: kv.kv_head_stride,
        dtype,
        reserved: 0,
    };
    if place.is_null() {
        return Err(invalid(OPERATION, "kv", "the address of a dustin_paged_kv", "null"));
    }
    DTYPES.read(OPERATION, "dtype", dtype)?;
    // SAFETY: not null, and the caller's promise.
    unsafe { place.write_unaligned(found) };
    Ok(())
}
