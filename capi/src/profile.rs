//! Tuned profiles.

use std::{ffi::c_char, path::Path};

use dustin::profile::{CpuCatalogue, GpuCatalogue, Profile, Read, Tuned, Warning, parse, read};

use crate::{
    boundary::call,
    context::{Device, dustin_context},
    error::{Error, invalid},
    handle::{self, Handle},
    memory::slice,
    status::dustin_status,
    text,
};

const OPERATION: &str = "profile";

/// A tuned profile, as `autotune` writes it. May be used by several threads at once.
pub struct dustin_profile {
    _private: (),
}

impl Handle for dustin_profile {
    type Value = Read;
    const KIND: &'static str = "profile";
}

/// Reads the profile at `path`. Entries that cannot be used are left out, with a warning.
///
/// # Safety
/// `path` is null or a text that ends with NUL; `profile` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_profile_read(
    path: *const c_char,
    profile: *mut *mut dustin_profile,
) -> dustin_status {
    call(OPERATION, || {
        handle::require_place(OPERATION, profile)?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::input(OPERATION, "path", path)? };
        let found = read(Path::new(path))?;
        // SAFETY: the caller's promise.
        unsafe { handle::give(OPERATION, found, profile) }
    })
}

/// As `dustin_profile_read`, from the `length` bytes of the file's text.
///
/// # Safety
/// `length` bytes at `toml` may be read; `profile` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_profile_parse(
    toml: *const c_char,
    length: usize,
    profile: *mut *mut dustin_profile,
) -> dustin_status {
    call(OPERATION, || {
        handle::require_place(OPERATION, profile)?;
        // SAFETY: the caller's promise.
        let bytes: &[u8] = unsafe { slice(OPERATION, "toml", toml.cast(), length as u64)? };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            invalid(OPERATION, "toml", "UTF-8", format!("none from byte {} on", error.valid_up_to()))
        })?;
        let found = parse(text, Path::new("(text)"))?;
        // SAFETY: the caller's promise.
        unsafe { handle::give(OPERATION, found, profile) }
    })
}

/// What of a profile is not used, or with a reservation: a line for each doubt, no text if there is none. With a context, also
/// what of it does not hold on that context's device; without one (null), what the text alone tells.
///
/// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
/// `capacity` is 0.
///
/// # Safety
/// `capacity` bytes at `text` may be written, and `length`, unless they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_profile_warnings(
    profile: *const dustin_profile,
    context: *const dustin_context,
    text: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> dustin_status {
    call(OPERATION, || {
        let profile = handle::find(OPERATION, "profile", profile)?;
        let context = handle::find_optional(OPERATION, "context", context)?;
        let mut warnings = profile.warnings.clone();
        warnings.extend(match context.as_ref().map(|context| context.device()) {
            None => Vec::new(),
            Some(Device::Cuda(modules)) => {
                unused(&profile.profile, GpuCatalogue { limits: modules.device().limits() })
            }
            Some(Device::Cpu(cpu)) => unused(&profile.profile, CpuCatalogue { limits: cpu.limits() }),
        });
        let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        // SAFETY: the caller's promise.
        unsafe { text::output(OPERATION, &lines.join("\n"), text, capacity, length) }.map_err(Error::from)
    })
}

/// Frees a profile. What was made with it does not need it any more. Null is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn dustin_profile_destroy(profile: *mut dustin_profile) -> dustin_status {
    call(OPERATION, || handle::destroy(OPERATION, profile))
}

fn unused(profile: &Profile, catalogue: impl dustin::profile::Catalogue) -> Vec<Warning> {
    Tuned::new(profile.entries.iter().cloned(), catalogue).warnings().to_vec()
}
