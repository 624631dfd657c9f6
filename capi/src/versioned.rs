//! Structs that may grow.
//!
//! The first field of each is the size that it has in the caller's header. Fields are added at the end alone, and zero is what
//! they are by default: a shorter struct is one with zeros behind it, and a longer one serves if there is nothing in what this
//! library does not know.

use std::mem::MaybeUninit;

use dustin::InvalidInput;

use crate::error::invalid;

/// The most bytes that any struct will ever have: more is memory that nobody set.
const MOST: usize = 4096;

/// A struct that begins with its size.
///
/// # Safety
/// It is `repr(C)` without padding, its first field is `struct_size: u32`, and zeros are a value of every field, as is any other
/// pattern of bits: there are integers, floats, raw pointers and structs of them.
pub(crate) unsafe trait Versioned: Copy {
    /// Its name in the header.
    const NAME: &'static str;
    /// Bytes of the fields that have no default.
    const REQUIRED: usize;
}

/// [`Versioned`] for a struct, of which the fields in the first braces have no default. That they are all and leave no room is
/// checked by the compiler.
macro_rules! versioned {
    ($name:ident { $($required:ident)* } { $($optional:ident)* }) => {
        const _: () = {
            const fn bytes<T, F>(_: fn(&T) -> &F) -> usize {
                size_of::<F>()
            }
            const REQUIRED: usize = 0 $(+ bytes(|own: &$name| &own.$required))*;
            const OPTIONAL: usize = 0 $(+ bytes(|own: &$name| &own.$optional))*;
            assert!(std::mem::offset_of!($name, struct_size) == 0);
            assert!(REQUIRED + OPTIONAL == size_of::<$name>());
            // SAFETY: padding would make the sum of the fields less than the whole; all fields are plain data.
            unsafe impl $crate::versioned::Versioned for $name {
                const NAME: &'static str = stringify!($name);
                const REQUIRED: usize = REQUIRED;
            }
        };
    };
}
pub(crate) use versioned;

/// The struct at `pointer`.
///
/// # Safety
/// `pointer` is null, or as many bytes as its first field says may be read there.
///
/// # Errors
/// `pointer` is null or misaligned, the size is too small or absurd, or there is something in what this library does not know.
pub(crate) unsafe fn read<T: Versioned>(
    operation: &'static str,
    field: &'static str,
    pointer: *const T,
) -> Result<T, InvalidInput> {
    // SAFETY: the caller's promise.
    let size = unsafe { size_at(operation, field, pointer)? };
    if size < T::REQUIRED {
        let required = format!("sizeof({}), at least {}", T::NAME, T::REQUIRED);
        return Err(invalid(operation, "struct_size", required, size));
    }
    let bytes = pointer.cast::<u8>();
    for place in size_of::<T>()..size {
        // SAFETY: within the size that the caller promises.
        if unsafe { bytes.add(place).read() } != 0 {
            let required = format!(
                "{} of {}, or zeros behind it: the library is older than its header",
                size_of::<T>(),
                T::NAME
            );
            return Err(invalid(operation, "struct_size", required, size));
        }
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: as many bytes may be read by the caller's promise, and written as the value has.
    unsafe { std::ptr::copy_nonoverlapping(bytes, value.as_mut_ptr().cast(), size.min(size_of::<T>())) };
    // SAFETY: every pattern of bits is a value.
    Ok(unsafe { value.assume_init() })
}

/// Writes `value` to `pointer`, as much of it as the caller's header knows; what only the header knows becomes zero. The size that
/// the caller set stays.
///
/// # Safety
/// `pointer` is null, or as many bytes as its first field says may be read and written there.
///
/// # Errors
/// As [`read`].
pub(crate) unsafe fn write<T: Versioned>(
    operation: &'static str,
    field: &'static str,
    pointer: *mut T,
    value: &T,
) -> Result<(), InvalidInput> {
    // SAFETY: the caller's promise.
    let size = unsafe { size_at(operation, field, pointer.cast_const())? };
    let own = size.min(size_of::<T>());
    if own < size_of::<u32>() {
        return Err(invalid(operation, "struct_size", format!("sizeof({})", T::NAME), size));
    }
    let (first, target) = (size_of::<u32>(), pointer.cast::<u8>());
    // SAFETY: both have that many bytes: the value by its type, the target by the caller's promise.
    unsafe {
        let source = std::ptr::from_ref(value).cast::<u8>();
        std::ptr::copy_nonoverlapping(source.add(first), target.add(first), own - first);
        target.add(own).write_bytes(0, size - own);
    }
    Ok(())
}

/// # Safety
/// As [`read`].
unsafe fn size_at<T: Versioned>(
    operation: &'static str,
    field: &'static str,
    pointer: *const T,
) -> Result<usize, InvalidInput> {
    if pointer.is_null() || !pointer.is_aligned() {
        let required = format!("the address of a {}", T::NAME);
        let actual =
            if pointer.is_null() { "null".into() } else { format!("{:#x}, misaligned", pointer.addr()) };
        return Err(invalid(operation, field, required, actual));
    }
    // SAFETY: the first field may be read by the caller's promise.
    // SAFETY: the caller's promise.
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    if size > MOST {
        let required = format!("sizeof({}), {}", T::NAME, size_of::<T>());
        return Err(invalid(operation, "struct_size", required, size));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct old {
        struct_size: u32,
        needed: u32,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct new {
        struct_size: u32,
        needed: u32,
        added: u32,
        more: u32,
    }

    versioned!(old { struct_size needed } {});
    versioned!(new { struct_size needed } { added more });

    #[test]
    fn an_older_header_leaves_what_it_does_not_know_at_its_default() {
        let given = old { struct_size: 8, needed: 3 };
        // SAFETY: eight bytes may be read there, and no more are.
        let value = unsafe { read("test", "given", std::ptr::from_ref(&given).cast::<new>()) }.unwrap();
        assert_eq!(value, new { struct_size: 8, needed: 3, added: 0, more: 0 });
    }

    #[test]
    fn a_newer_header_serves_if_it_says_nothing_new() {
        let mut given = new { struct_size: 16, needed: 3, added: 0, more: 0 };
        let read = |given: &new| {
            // SAFETY: sixteen bytes may be read there.
            unsafe { super::read("test", "given", std::ptr::from_ref(given).cast::<old>()) }
        };
        assert_eq!(read(&given), Ok(old { struct_size: 16, needed: 3 }));
        given.more = 1 << 31;
        let error = read(&given).unwrap_err();
        assert_eq!((error.field, error.actual.as_str()), ("struct_size", "16"));
        assert!(error.required.contains("older than its header"), "{error}");
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for size in [0, 4, 7, 4097, u32::MAX] {
            let given = old { struct_size: size, needed: 3 };
            // SAFETY: a size below or above all that is known is refused before more than the first field is read.
            let error = unsafe { read("test", "given", &raw const given) }.unwrap_err();
            assert_eq!(error.field, "struct_size", "{size}");
        }
        // SAFETY: null is refused, as is what is misaligned.
        let error = unsafe { read::<old>("test", "given", std::ptr::null()) }.unwrap_err();
        assert_eq!((error.field, error.actual.as_str()), ("given", "null"));
        // SAFETY: as above.
        let error = unsafe { read::<old>("test", "given", std::ptr::without_provenance(6)) }.unwrap_err();
        assert_eq!((error.field, error.actual.as_str()), ("given", "0x6, misaligned"));
    }

    #[test]
    fn results_fill_what_the_caller_knows_and_clear_the_rest() {
        let mut known = new { struct_size: 8, needed: 0, added: 5, more: 5 };
        let value = new { struct_size: 0, needed: 3, added: 4, more: 4 };
        // SAFETY: sixteen bytes may be written there.
        unsafe { write("test", "known", &raw mut known, &value) }.unwrap();
        assert_eq!(known, new { struct_size: 8, needed: 3, added: 5, more: 5 });
        let mut newer = new { struct_size: 16, needed: 0, added: 5, more: 5 };
        let value = old { struct_size: 0, needed: 3 };
        // SAFETY: as above.
        unsafe { write("test", "newer", (&raw mut newer).cast::<old>(), &value) }.unwrap();
        assert_eq!(newer, new { struct_size: 16, needed: 3, added: 0, more: 0 });
    }
}
