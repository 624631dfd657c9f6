//! Problems, addresses and handles as the C ABI takes them.

mod addresses;
mod host_step;
mod problems;
mod stages;
mod verifier;

use std::ffi::{CStr, c_void};

pub use self::{addresses::*, host_step::*, problems::*, stages::*, verifier::*};
use dustin_c::{
    dustin_context, dustin_context_borrow_cuda, dustin_context_create_cpu, dustin_context_create_cuda,
    dustin_context_destroy, dustin_last_error, dustin_operation, dustin_operation_clear_status,
    dustin_operation_destroy, dustin_operation_initialise, dustin_operation_status,
    dustin_operation_workspace_bytes, dustin_status,
};

/// What the last call that failed on this thread was refused for.
#[must_use]
pub fn last_error() -> String {
    // SAFETY: the text lives until the next failure on this thread.
    unsafe { CStr::from_ptr(dustin_last_error()) }.to_string_lossy().into_owned()
}

/// The message of a call, unless it succeeded.
///
/// # Errors
/// It failed.
pub fn check(status: dustin_status) -> Result<(), String> {
    if status == dustin_status::Ok { Ok(()) } else { Err(format!("{status:?}: {}", last_error())) }
}

/// A context handle, destroyed at the end.
#[derive(Debug)]
pub struct Context(*mut dustin_context);

// SAFETY: handles are numbers that every thread may use.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// One on the CPU.
    ///
    /// # Errors
    /// There are no threads.
    pub fn cpu(threads: u32) -> Result<Self, String> {
        let mut context = std::ptr::null_mut();
        // SAFETY: the handle may be written.
        check(unsafe { dustin_context_create_cpu(threads, &mut context) })?;
        Ok(Self(context))
    }

    /// The primary context of the first GPU.
    ///
    /// # Errors
    /// There is none.
    pub fn cuda() -> Result<Self, String> {
        let mut context = std::ptr::null_mut();
        // SAFETY: the handle may be written.
        check(unsafe { dustin_context_create_cuda(0, &mut context) })?;
        Ok(Self(context))
    }

    /// A caller's context.
    ///
    /// # Errors
    /// There is no GPU.
    ///
    /// # Safety
    /// It exists as long as the result, and all that is made with it.
    pub unsafe fn borrow(raw: *mut c_void) -> Result<Self, String> {
        let mut context = std::ptr::null_mut();
        // SAFETY: the caller's promise, and the handle may be written.
        check(unsafe { dustin_context_borrow_cuda(raw, &mut context) })?;
        Ok(Self(context))
    }

    /// The handle.
    #[must_use]
    pub const fn handle(&self) -> *const dustin_context {
        self.0
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        assert_eq!(dustin_context_destroy(self.0), dustin_status::Ok, "{}", last_error());
    }
}

/// An operation handle, destroyed at the end.
#[derive(Debug)]
pub struct Operation(*mut dustin_operation);

// SAFETY: handles are numbers that every thread may use.
unsafe impl Send for Operation {}
// SAFETY: as above.
unsafe impl Sync for Operation {}

impl Operation {
    /// What `create` makes.
    ///
    /// # Errors
    /// It fails.
    pub fn new(create: impl FnOnce(*mut *mut dustin_operation) -> dustin_status) -> Result<Self, String> {
        let mut operation = std::ptr::null_mut();
        check(create(&mut operation))?;
        Ok(Self(operation))
    }

    /// The handle.
    #[must_use]
    pub const fn handle(&self) -> *const dustin_operation {
        self.0
    }

    /// Bytes of workspace.
    ///
    /// # Errors
    /// The handle is none.
    pub fn workspace_bytes(&self) -> Result<u64, String> {
        let mut bytes = 0;
        // SAFETY: the number may be written.
        check(unsafe { dustin_operation_workspace_bytes(self.0, &mut bytes) })?;
        Ok(bytes)
    }

    /// A workspace in host memory, readied.
    ///
    /// # Errors
    /// The operation is one on a GPU.
    pub fn host_workspace(&self) -> Result<Vec<u64>, String> {
        let mut words = vec![u64::MAX; self.workspace_bytes()?.div_ceil(8) as usize];
        let (address, bytes) = (words.as_mut_ptr().cast(), 8 * words.len() as u64);
        // SAFETY: the memory is the vector's.
        check(unsafe { dustin_operation_initialise(self.0, address, bytes, std::ptr::null_mut()) })?;
        Ok(words)
    }

    /// The fault and the sequence that launches in a host workspace have found, as one status word; then forgets them.
    ///
    /// # Errors
    /// The operation is one on a GPU.
    pub fn take_status(&self, words: &mut [u64]) -> Result<u64, String> {
        let (address, bytes) = (words.as_mut_ptr().cast(), 8 * words.len() as u64);
        let (mut fault, mut sequence) = (0, 0);
        // SAFETY: the memory is the slice's, and the numbers may be written.
        check(unsafe {
            dustin_operation_status(self.0, address, bytes, std::ptr::null_mut(), &mut fault, &mut sequence)
        })?;
        // SAFETY: as above.
        check(unsafe { dustin_operation_clear_status(self.0, address, bytes, std::ptr::null_mut()) })?;
        Ok(u64::from(fault) << 32 | u64::from(sequence))
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        assert_eq!(dustin_operation_destroy(self.0), dustin_status::Ok, "{}", last_error());
    }
}

/// The size of a struct, as its first field says it.
#[must_use]
pub const fn sized<T>() -> u32 {
    size_of::<T>() as u32
}
