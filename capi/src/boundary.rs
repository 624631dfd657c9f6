//! What every call passes on its way out.

use std::{
    any::Any,
    cell::RefCell,
    ffi::{CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{error::Error, status::dustin_status};

thread_local! {
    static LAST: RefCell<Option<CString>> = const { RefCell::new(None) };
}

/// What the last call that failed on this thread was refused for: one sentence that names the operation, the field, what it
/// must be and what it is. Empty if none has failed. Valid until the next call that fails on this thread; calls that succeed
/// leave it as it is.
#[unsafe(no_mangle)]
pub extern "C" fn dustin_last_error() -> *const c_char {
    // A thread that is ending has no message any more.
    LAST.try_with(|last| last.borrow().as_ref().map(|text| text.as_ptr()))
        .ok()
        .flatten()
        .unwrap_or(c"".as_ptr())
}

/// The version of the ABI that the library has: rises with every function and every field that is added. Nothing is removed or
/// changed.
#[unsafe(no_mangle)]
pub extern "C" fn dustin_abi_version() -> u32 {
    1
}

/// Runs what `operation` does: an error becomes its status and its message, and so does a panic, which must not reach the
/// caller's frames.
pub(crate) fn call(operation: &'static str, body: impl FnOnce() -> Result<(), Error>) -> dustin_status {
    // What a panic may have left half done is a launch's output, which the status says is undefined, or scratch memory, which
    // launches write before they read it.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => dustin_status::Ok,
        Ok(Err(error)) => {
            remember(error.to_string());
            error.status()
        }
        Err(panic) => {
            remember(format!("{operation}: a defect of the library: {}", message(&*panic)));
            dustin_status::Internal
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn remember(sentence: String) {
    let mut bytes = sentence.into_bytes();
    bytes.retain(|&byte| byte != 0);
    let text = CString::new(bytes).ok();
    // A thread that is ending has nobody left to read it.
    let _ = LAST.try_with(|last| *last.borrow_mut() = text);
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_a_sentence() {
        let status = call("test", || panic!("of {}", 7));
        assert_eq!(status, dustin_status::Internal);
        // SAFETY: the text lives until the next failure on this thread.
        let text = unsafe { CStr::from_ptr(dustin_last_error()) };
        assert_eq!(text.to_str(), Ok("test: a defect of the library: of 7"));
    }

    #[test]
    fn a_thread_without_errors_has_an_empty_message() {
        // SAFETY: as above.
        let text = || unsafe { CStr::from_ptr(dustin_last_error()) }.to_owned();
        assert_eq!(std::thread::spawn(text).join().unwrap(), CString::default());
    }
}
