//! Status codes.

/// What a call came to. `dustin_last_error` has the sentence that says more.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_status {
    /// Done, or submitted to the stream.
    Ok = 0,
    /// An argument is not as documented, or a file or text is not what it should be. Nothing was launched.
    InvalidInput = 1,
    /// A handle is null, was destroyed, is of another kind, or never was one.
    NoSuchHandle = 2,
    /// The device's or the host's memory, or its threads, are used up.
    OutOfMemory = 3,
    /// There is no CUDA driver, none that is new enough, or no device. CPU contexts work all the same.
    NoGpu = 4,
    /// The device, or the CUDA context, can no longer be used by this process.
    DeviceLost = 5,
    /// The operating system cannot read a file.
    Io = 6,
    /// The CUDA driver refuses something else.
    Driver = 7,
    /// A defect of this library. The arrays that the call writes are undefined; other handles are not affected.
    Internal = 8,
}

/// The name of a status, such as `DUSTIN_STATUS_OK`: a text for ever. Numbers that are none have one, too.
#[unsafe(no_mangle)]
pub extern "C" fn dustin_status_name(status: i32) -> *const std::ffi::c_char {
    let name = match status {
        0 => c"DUSTIN_STATUS_OK",
        1 => c"DUSTIN_STATUS_INVALID_INPUT",
        2 => c"DUSTIN_STATUS_NO_SUCH_HANDLE",
        3 => c"DUSTIN_STATUS_OUT_OF_MEMORY",
        4 => c"DUSTIN_STATUS_NO_GPU",
        5 => c"DUSTIN_STATUS_DEVICE_LOST",
        6 => c"DUSTIN_STATUS_IO",
        7 => c"DUSTIN_STATUS_DRIVER",
        8 => c"DUSTIN_STATUS_INTERNAL",
        _ => c"unknown status",
    };
    name.as_ptr()
}
