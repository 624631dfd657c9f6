//! The table of live handles.
//!
//! A handle looks like a pointer to C, so that a compiler tells kinds apart, but is a number that is never used again. It is looked
//! up for each call: a freed handle, one of another kind or any other address is an error and nothing worse.

use std::{
    any::Any,
    collections::BTreeMap,
    ptr::without_provenance_mut,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::error::Error;

/// An opaque type of the header, and what its handles stand for.
pub(crate) trait Handle: Sized {
    /// What a handle stands for.
    type Value: Any + Send + Sync;
    /// The kind, for messages.
    const KIND: &'static str;
}

/// What a live handle stands for, and its kind. A call keeps it while it runs, so that another thread may destroy the handle.
type Entry = (&'static str, Arc<dyn Any + Send + Sync>);

/// Writing is rare; readers hold the lock for a few steps through the tree, next to launches of microseconds.
static LIVE: RwLock<BTreeMap<usize, Entry>> = RwLock::new(BTreeMap::new());
/// Numbers apart from the small ones that a mistaken argument may be.
static NEXT: AtomicUsize = AtomicUsize::new(0xd057_1001);

/// Makes a handle for `value` and writes it to `out`.
///
/// # Safety
/// `out` is null or may be written.
///
/// # Errors
/// `out` is null.
pub(crate) unsafe fn give<H: Handle>(
    operation: &'static str,
    value: H::Value,
    out: *mut *mut H,
) -> Result<(), Error> {
    require_place(operation, out)?;
    let id = NEXT.fetch_add(16, Ordering::Relaxed);
    LIVE.write().unwrap_or_else(PoisonError::into_inner).insert(id, (H::KIND, Arc::new(value)));
    // SAFETY: not null, and the caller's promise.
    unsafe { out.write_unaligned(without_provenance_mut(id)) };
    Ok(())
}

/// Refuses a null address for a handle to be written to: before the work is done.
pub(crate) fn require_place<H: Handle>(operation: &'static str, out: *mut *mut H) -> Result<(), Error> {
    if out.is_null() {
        return Err(crate::error::invalid(operation, H::KIND, "an address to write to", "null").into());
    }
    Ok(())
}

/// What the handle `field` stands for.
///
/// # Errors
/// There is no such handle of that kind.
pub(crate) fn find<H: Handle>(
    operation: &'static str,
    field: &'static str,
    handle: *const H,
) -> Result<Arc<H::Value>, Error> {
    let entry = LIVE.read().unwrap_or_else(PoisonError::into_inner).get(&handle.addr()).cloned();
    let actual = match entry {
        None if handle.is_null() => "null".into(),
        None => format!("{:#x}, which is none or was destroyed", handle.addr()),
        Some((kind, value)) => match value.downcast() {
            Ok(value) => return Ok(value),
            Err(_) => format!("a live {kind} handle"),
        },
    };
    Err(Error::Handle { operation, field, required: H::KIND, actual })
}

/// What an optional handle stands for: nothing if it is null.
///
/// # Errors
/// As [`find`].
pub(crate) fn find_optional<H: Handle>(
    operation: &'static str,
    field: &'static str,
    handle: *const H,
) -> Result<Option<Arc<H::Value>>, Error> {
    if handle.is_null() { Ok(None) } else { find(operation, field, handle).map(Some) }
}

/// Takes a handle out of the table: what it stands for lives on as long as others hold it. Null is nothing to destroy.
///
/// # Errors
/// As [`find`].
pub(crate) fn destroy<H: Handle>(operation: &'static str, handle: *mut H) -> Result<(), Error> {
    if handle.is_null() {
        return Ok(());
    }
    find(operation, H::KIND, handle.cast_const())?;
    let removed = LIVE.write().unwrap_or_else(PoisonError::into_inner).remove(&handle.addr());
    // Dropped behind the lock: it may take its time. Of two threads that destroy the same handle at once, one comes too late.
    removed.map(drop).ok_or_else(|| Error::Handle {
        operation,
        field: H::KIND,
        required: H::KIND,
        actual: format!("{:#x}, which was destroyed", handle.addr()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number;
    struct Text;

    impl Handle for Number {
        type Value = u32;
        const KIND: &'static str = "number";
    }

    impl Handle for Text {
        type Value = String;
        const KIND: &'static str = "text";
    }

    fn number(value: u32) -> *mut Number {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the handle may be written.
        unsafe { give("test", value, &mut handle) }.unwrap();
        handle
    }

    #[test]
    fn a_freed_handle_and_one_of_another_kind_are_found() {
        let handle = number(7);
        assert_eq!(*find("test", "number", handle.cast_const()).unwrap(), 7);
        let error = find::<Text>("test", "text", handle.cast()).unwrap_err().to_string();
        assert_eq!(error, "test: text must be a live text handle, but is a live number handle");
        destroy("test", handle).unwrap();
        let error = find("test", "number", handle.cast_const()).unwrap_err().to_string();
        assert!(error.ends_with("which is none or was destroyed"), "{error}");
        assert!(destroy("test", handle).is_err());
        destroy("test", std::ptr::null_mut::<Number>()).unwrap();
    }

    #[test]
    fn numbers_are_never_used_again() {
        let first = number(1);
        destroy("test", first).unwrap();
        let second = number(2);
        assert_ne!(first, second);
        destroy("test", second).unwrap();
    }

    #[test]
    fn what_a_call_holds_lives_on_when_its_handle_is_destroyed() {
        let handle = number(9);
        let held = find("test", "number", handle.cast_const()).unwrap();
        destroy("test", handle).unwrap();
        assert_eq!(*held, 9);
    }
}
