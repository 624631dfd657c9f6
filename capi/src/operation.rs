//! What all operations have in common: a handle, a workspace, a status, and the reason why a variant serves it.

use std::{
    any::Any,
    ffi::{c_char, c_void},
    sync::Arc,
};

use dustin::{
    cuda::{Plan, Workspace},
    verifier::Served,
};
use dustin_kernels::fault::Fault;

use crate::{
    boundary::call,
    choice,
    context::Context,
    error::{Error, invalid},
    handle::{self, Handle},
    memory::slice_mut,
    status::dustin_status,
    text,
};

const OPERATION: &str = "operation";

/// One operation, planned and compiled for one problem: score gathering, selection, appending, attention or compaction. May be
/// launched by several threads at once, each in a workspace of its own; on a CPU context they take turns.
pub struct dustin_operation {
    _private: (),
}

impl Handle for dustin_operation {
    type Value = Operation;
    const KIND: &'static str = "operation";
}

/// What an operation's handle stands for.
pub(crate) struct Operation {
    pub(crate) context: Arc<Context>,
    /// Its kind's name, for messages.
    pub(crate) handle: &'static str,
    /// What its kind has planned.
    pub(crate) planned: Box<dyn Any + Send + Sync>,
    pub(crate) served: Served,
    pub(crate) space: Space,
}

/// What appending and compacting are on a CPU.
pub(crate) const COPIES: Served = Served::copies("copies in order");

/// The workspace that launches need.
pub(crate) struct Space {
    bytes: u64,
    zeroed_bytes: u64,
}

impl Space {
    /// On a CPU: the status word.
    pub(crate) const CPU: Self = Self { bytes: 8, zeroed_bytes: 8 };

    /// On a GPU.
    pub(crate) fn of(plan: &impl Plan) -> Self {
        Self { bytes: plan.workspace_bytes(), zeroed_bytes: plan.zeroed_bytes() }
    }
}

impl Plan for Space {
    fn workspace_bytes(&self) -> u64 {
        self.bytes
    }

    fn zeroed_bytes(&self) -> u64 {
        self.zeroed_bytes
    }
}

/// The address of an array of a launch, as the CUDA back end takes it.
pub(crate) fn device(pointer: *const c_void) -> u64 {
    pointer.addr() as u64
}

/// The status word of a workspace in host memory.
///
/// # Safety
/// So many bytes at `workspace` may be read and written as long as the result is used, by nobody else.
///
/// # Errors
/// The address is null or misaligned, or there are too few bytes.
pub(crate) unsafe fn word<'a>(
    operation: &'static str,
    workspace: *mut c_void,
    bytes: u64,
) -> Result<&'a mut u64, Error> {
    if bytes < Space::CPU.bytes {
        return Err(
            invalid(operation, "workspace_bytes", format!("at least {}", Space::CPU.bytes), bytes).into()
        );
    }
    // SAFETY: the caller's promise.
    let words: &mut [u64] = unsafe { slice_mut(operation, "workspace", workspace, 1)? };
    Ok(&mut words[0])
}

/// Bytes of workspace that launches need, aligned to 256 bytes in a CUDA context, to 8 on a CPU. Launches that overlap in time
/// need one each.
///
/// # Safety
/// `bytes` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_operation_workspace_bytes(
    operation: *const dustin_operation,
    bytes: *mut u64,
) -> dustin_status {
    call(OPERATION, || {
        let operation = handle::find(OPERATION, "operation", operation)?;
        // SAFETY: the caller's promise.
        unsafe { text::number(OPERATION, "bytes", bytes, operation.space.bytes) }.map_err(Error::from)
    })
}

/// Readies the `bytes` bytes at `workspace`, in the stream's order: before the first launch, and after something else has used
/// the memory. Does not wait.
///
/// # Safety
/// The memory exists in the context until this has ended, and nobody else touches it; `stream` is one of the context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_operation_initialise(
    operation: *const dustin_operation,
    workspace: *mut c_void,
    bytes: u64,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        let operation = handle::find(OPERATION, "operation", operation)?;
        // SAFETY: the caller's promise.
        match unsafe { operation.context.stream(OPERATION, stream)? } {
            // SAFETY: the caller's promise.
            Some(stream) => Ok(unsafe { borrow(&operation, workspace, bytes)? }.initialise(&stream)?),
            None => {
                // SAFETY: the caller's promise.
                *unsafe { word(OPERATION, workspace, bytes)? } = 0;
                Ok(())
            }
        }
    })
}

/// What launches in a workspace have found wrong with the contents of arrays since it was readied or cleared: the highest
/// `dustin_fault`, 0 if there is none, and the highest sequence that has it. Waits for the stream.
///
/// # Safety
/// As `dustin_operation_initialise`; `fault` and `sequence` are null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_operation_status(
    operation: *const dustin_operation,
    workspace: *mut c_void,
    bytes: u64,
    stream: *mut c_void,
    fault: *mut u32,
    sequence: *mut u32,
) -> dustin_status {
    call(OPERATION, || {
        let operation = handle::find(OPERATION, "operation", operation)?;
        // SAFETY: the caller's promise.
        let found = match unsafe { operation.context.stream(OPERATION, stream)? } {
            // SAFETY: the caller's promise.
            Some(stream) => unsafe { borrow(&operation, workspace, bytes)? }.status(&stream)?,
            None => {
                // SAFETY: the caller's promise.
                let word = *unsafe { word(OPERATION, workspace, bytes)? };
                let found = Fault::parse(word);
                if found.is_none() && word != 0 {
                    let required = "0 or a word that a launch wrote: initialise the workspace";
                    return Err(invalid(OPERATION, "workspace", required, format!("{word:#x}")).into());
                }
                found
            }
        };
        let (kind, at) = found.map_or((0, 0), |(fault, sequence)| (fault as u32, sequence));
        // SAFETY: the caller's promise.
        unsafe {
            text::number(OPERATION, "fault", fault, kind)?;
            text::number(OPERATION, "sequence", sequence, at)?;
        }
        Ok(())
    })
}

/// Forgets what launches in a workspace have found, in the stream's order. Does not wait.
///
/// # Safety
/// As `dustin_operation_initialise`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_operation_clear_status(
    operation: *const dustin_operation,
    workspace: *mut c_void,
    bytes: u64,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        let operation = handle::find(OPERATION, "operation", operation)?;
        // SAFETY: the caller's promise.
        match unsafe { operation.context.stream(OPERATION, stream)? } {
            // SAFETY: the caller's promise.
            Some(stream) => Ok(unsafe { borrow(&operation, workspace, bytes)? }.clear_status(&stream)?),
            None => {
                // SAFETY: the caller's promise.
                *unsafe { word(OPERATION, workspace, bytes)? } = 0;
                Ok(())
            }
        }
    })
}

/// # Safety
/// As [`Workspace::borrow`].
unsafe fn borrow(operation: &Operation, workspace: *mut c_void, bytes: u64) -> Result<Workspace, Error> {
    // SAFETY: the caller's promise.
    unsafe { Workspace::borrow(&operation.space, device(workspace), bytes) }.map_err(Error::from)
}

/// Where the choice of what is launched comes from, a `dustin_source`.
///
/// # Safety
/// `source` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_operation_source(
    operation: *const dustin_operation,
    source: *mut u32,
) -> dustin_status {
    call(OPERATION, || {
        let operation = handle::find(OPERATION, "operation", operation)?;
        // SAFETY: the caller's promise.
        unsafe { text::number(OPERATION, "source", source, choice::source(&operation.served) as u32) }
            .map_err(Error::from)
    })
}

/// The stable id of the variant that is launched.
///
/// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
/// `capacity` is 0.
///
/// # Safety
/// `capacity` bytes at `text` may be written, and `length`, unless they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_operation_variant(
    operation: *const dustin_operation,
    text: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> dustin_status {
    call(OPERATION, || {
        let operation = handle::find(OPERATION, "operation", operation)?;
        // SAFETY: the caller's promise.
        unsafe { text::output(OPERATION, choice::variant(&operation.served), text, capacity, length) }
            .map_err(Error::from)
    })
}

/// What is launched, where that choice comes from, and in lines of their own the reasons why it is nothing better.
///
/// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
/// `capacity` is 0.
///
/// # Safety
/// `capacity` bytes at `text` may be written, and `length`, unless they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_operation_report(
    operation: *const dustin_operation,
    text: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> dustin_status {
    call(OPERATION, || {
        let operation = handle::find(OPERATION, "operation", operation)?;
        // SAFETY: the caller's promise.
        unsafe { text::output(OPERATION, &operation.served.to_string(), text, capacity, length) }
            .map_err(Error::from)
    })
}

/// Frees an operation, once its launches and the graphs that captured them have ended. Null is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn dustin_operation_destroy(operation: *mut dustin_operation) -> dustin_status {
    call(OPERATION, || handle::destroy(OPERATION, operation))
}
