//! Arrays behind raw addresses.

use std::{
    ffi::c_void,
    slice::{from_raw_parts, from_raw_parts_mut},
};

use dustin::{InvalidInput, cache::layer::LayerMut, kv::PagedKv};

use crate::error::invalid;

/// Types of which every pattern of bits is a value.
///
/// # Safety
/// As said.
pub(crate) unsafe trait Item: Copy {}

// SAFETY: integers, floats and addresses.
unsafe impl Item for u8 {}
// SAFETY: as above.
unsafe impl Item for u16 {}
// SAFETY: as above.
unsafe impl Item for u32 {}
// SAFETY: as above.
unsafe impl Item for i32 {}
// SAFETY: as above.
unsafe impl Item for u64 {}
// SAFETY: as above.
unsafe impl Item for i64 {}
// SAFETY: as above.
unsafe impl Item for f32 {}
// SAFETY: as above.
unsafe impl<T> Item for *const T {}

/// The `items` items at `pointer`; nothing is there, and null will do, where there are none.
///
/// # Safety
/// So many items may be read there as long as the result is used, and nobody writes them meanwhile.
///
/// # Errors
/// The address is null or misaligned, or memory has no room for so many items.
pub(crate) unsafe fn slice<'a, T: Item>(
    operation: &'static str,
    field: &'static str,
    pointer: *const c_void,
    items: u64,
) -> Result<&'a [T], InvalidInput> {
    if items == 0 {
        return Ok(&[]);
    }
    let items = require::<T>(operation, field, pointer, items)?;
    // SAFETY: not null, aligned, of a size that can be, and the caller's promise.
    Ok(unsafe { from_raw_parts(pointer.cast(), items) })
}

/// As [`slice`], to be written.
///
/// # Safety
/// As [`slice`], and nobody else reads or writes them meanwhile.
///
/// # Errors
/// As [`slice`].
pub(crate) unsafe fn slice_mut<'a, T: Item>(
    operation: &'static str,
    field: &'static str,
    pointer: *mut c_void,
    items: u64,
) -> Result<&'a mut [T], InvalidInput> {
    if items == 0 {
        return Ok(&mut []);
    }
    let items = require::<T>(operation, field, pointer, items)?;
    // SAFETY: as above.
    Ok(unsafe { from_raw_parts_mut(pointer.cast(), items) })
}

/// The array at `pointer` if it is asked for; else it must be null.
///
/// # Safety
/// As [`slice`].
///
/// # Errors
/// As [`slice`], or there is an array that nobody asks for.
pub(crate) unsafe fn asked<'a, T: Item>(
    operation: &'static str,
    field: &'static str,
    pointer: *const c_void,
    asked: bool,
    items: u64,
) -> Result<Option<&'a [T]>, InvalidInput> {
    require_absent(operation, field, pointer, asked)?;
    // SAFETY: the caller's promise.
    if asked { unsafe { slice(operation, field, pointer, items) }.map(Some) } else { Ok(None) }
}

fn require<T>(
    operation: &'static str,
    field: &'static str,
    pointer: *const c_void,
    items: u64,
) -> Result<usize, InvalidInput> {
    let (alignment, address) = (align_of::<T>(), pointer.addr());
    let bytes = items.checked_mul(size_of::<T>() as u64).and_then(|bytes| usize::try_from(bytes).ok());
    let fits = |bytes: usize| bytes <= isize::MAX as usize && address.checked_add(bytes).is_some();
    if pointer.is_null() || !address.is_multiple_of(alignment) {
        let required = format!("an address aligned to {alignment} bytes");
        return Err(invalid(operation, field, required, format!("{address:#x}")));
    }
    if !bytes.is_some_and(fits) {
        let required = "an array that fits into memory";
        return Err(invalid(operation, field, required, format!("{items} items at {address:#x}")));
    }
    Ok(items as usize)
}

/// The caches of a layer, of the shape of `kv`: two arrays, or one that holds both where they are interleaved.
///
/// # Safety
/// Caches of this shape are at the addresses as long as the result is used, and nobody else reads or writes them meanwhile.
///
/// # Errors
/// An address is null or misaligned, or the caches are interleaved and values begin before keys.
pub(crate) unsafe fn layer<'a>(
    operation: &'static str,
    key: *mut c_void,
    value: *mut c_void,
    kv: &PagedKv,
) -> Result<LayerMut<'a>, InvalidInput> {
    let extent = kv.extent();
    let distance = key.addr().abs_diff(value.addr()) as u64;
    if distance / 2 >= extent {
        // SAFETY: the caller's promise; the two do not overlap.
        return unsafe {
            Ok(LayerMut::Separate {
                key: slice_mut(operation, "key_cache", key, extent)?,
                value: slice_mut(operation, "value_cache", value, extent)?,
            })
        };
    }
    if value.addr() < key.addr() || !distance.is_multiple_of(2) {
        let required = "an address behind the keys, where one array holds both";
        return Err(invalid(operation, "value_cache", required, format!("{:#x}", value.addr())));
    }
    let value = distance / 2;
    // SAFETY: the caller's promise, for both.
    let items = unsafe { slice_mut(operation, "key_cache", key, extent.saturating_add(value))? };
    Ok(LayerMut::Interleaved { items, value })
}

/// The caches of all layers, by the addresses of each.
///
/// # Safety
/// As [`layer`], for each; no two layers overlap.
///
/// # Errors
/// As [`layer`].
pub(crate) unsafe fn layers<'a>(
    operation: &'static str,
    keys: &[*const c_void],
    values: &[*const c_void],
    kv: &PagedKv,
) -> Result<Vec<LayerMut<'a>>, InvalidInput> {
    let pairs = keys.iter().zip(values);
    // SAFETY: the caller's promise.
    pairs.map(|(key, value)| unsafe { layer(operation, key.cast_mut(), value.cast_mut(), kv) }).collect()
}

/// Refuses an address that is given where the problem asks for none.
pub(crate) fn require_absent(
    operation: &'static str,
    field: &'static str,
    pointer: *const c_void,
    asked: bool,
) -> Result<(), InvalidInput> {
    if asked || pointer.is_null() {
        return Ok(());
    }
    Err(invalid(operation, field, "null, as the problem has none", format!("{:#x}", pointer.addr())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_arrays_are_refused_by_name() {
        let items = [1i32, 2, 3];
        let read = |address: usize, count: u64| {
            let pointer = items.as_ptr().cast::<u8>().wrapping_add(address).cast();
            // SAFETY: what may not be read is refused before it is.
            unsafe { slice::<i32>("test", "items", pointer, count) }.map_err(|error| error.required)
        };
        assert_eq!(read(0, 3), Ok(&items[..]));
        assert_eq!(read(2, 1).unwrap_err(), "an address aligned to 4 bytes");
        for count in [u64::MAX, 1 << 62, isize::MAX as u64 / 4 + 1] {
            assert_eq!(read(0, count).unwrap_err(), "an array that fits into memory", "{count}");
        }
        // SAFETY: null is refused, unless nothing is read.
        let null = |count| unsafe { slice::<u16>("test", "items", std::ptr::null(), count) };
        assert_eq!(null(0), Ok(&[][..]));
        assert_eq!(null(1).unwrap_err().actual, "0x0");
    }
}
