//! Texts of the caller, and texts and numbers for it.

use std::ffi::{CStr, c_char};

use dustin::InvalidInput;

use crate::error::invalid;

/// The text at `pointer`, up to its NUL.
///
/// # Safety
/// `pointer` is null, or a text that ends with NUL begins there.
///
/// # Errors
/// It is null, or not UTF-8.
pub(crate) unsafe fn input<'a>(
    operation: &'static str,
    field: &'static str,
    pointer: *const c_char,
) -> Result<&'a str, InvalidInput> {
    if pointer.is_null() {
        return Err(invalid(operation, field, "a text", "null"));
    }
    // SAFETY: not null, and the caller's promise.
    let bytes = unsafe { CStr::from_ptr(pointer) }.to_bytes();
    std::str::from_utf8(bytes).map_err(|error| {
        invalid(operation, field, "UTF-8", format!("none from byte {} on", error.valid_up_to()))
    })
}

/// Copies as much of `text` as has room, with a NUL behind it, and says how long it is.
///
/// # Safety
/// `capacity` bytes at `buffer` may be written, and `length`, unless they are null.
///
/// # Errors
/// There is a capacity, but no buffer.
pub(crate) unsafe fn output(
    operation: &'static str,
    text: &str,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> Result<(), InvalidInput> {
    if !length.is_null() {
        // SAFETY: not null, and the caller's promise.
        unsafe { length.write_unaligned(text.len()) };
    }
    if capacity == 0 {
        return Ok(());
    }
    if buffer.is_null() {
        return Err(invalid(operation, "text", format!("room for {capacity} bytes"), "null"));
    }
    // What is cut off is whole characters.
    let copied = text.floor_char_boundary(text.len().min(capacity - 1));
    // SAFETY: below the capacity, by the caller's promise.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast(), copied);
        buffer.add(copied).write(0);
    }
    Ok(())
}

/// Writes an answer.
///
/// # Safety
/// `place` is null or may be written.
///
/// # Errors
/// It is null.
pub(crate) unsafe fn number<T>(
    operation: &'static str,
    field: &'static str,
    place: *mut T,
    answer: T,
) -> Result<(), InvalidInput> {
    if place.is_null() {
        return Err(invalid(operation, field, "an address to write to", "null"));
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { place.write_unaligned(answer) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_whole_characters_and_its_length_is_told() {
        let copy = |capacity: usize| {
            let (mut buffer, mut length) = ([1 as c_char; 8], 0);
            // SAFETY: the buffer has the capacity.
            unsafe { output("test", "aµb", buffer.as_mut_ptr(), capacity, &mut length) }.unwrap();
            assert_eq!(length, 4);
            buffer.map(|byte| byte as u8)
        };
        assert_eq!(&copy(8)[..5], b"a\xc2\xb5b\0");
        assert_eq!(&copy(4)[..4], b"a\xc2\xb5\0");
        assert_eq!(&copy(3)[..3], b"a\0\x01");
        assert_eq!(&copy(1)[..2], b"\0\x01");
        assert_eq!(copy(0)[0], 1);
        // SAFETY: nothing is written to null.
        let error = unsafe { output("test", "a", std::ptr::null_mut(), 1, std::ptr::null_mut()) };
        assert_eq!(error.unwrap_err().field, "text");
    }

    #[test]
    fn a_text_that_is_missing_or_not_utf_8_is_refused() {
        // SAFETY: null is refused.
        let error = unsafe { input("test", "path", std::ptr::null()) }.unwrap_err();
        assert_eq!((error.field, error.actual.as_str()), ("path", "null"));
        // SAFETY: the text ends with NUL.
        let error = unsafe { input("test", "path", c"ab\xff".as_ptr()) }.unwrap_err();
        assert_eq!(error.actual, "none from byte 2 on");
    }
}
