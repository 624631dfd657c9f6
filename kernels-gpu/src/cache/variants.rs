//! The lists of compiled configurations: one PTX entry each on the device, one registry line each on the host.

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
use super::{append::append, capture::capture, compact::compact};

/// Hands every number of warps, and whether launches overlap, to `$make!`, as items or as an array.
macro_rules! for_each_append {
    (items $make:ident) => {
        $make!(4, false);
        $make!(8, false);
        $make!(4, true);
        $make!(8, true);
    };
    (array $make:ident) => {
        [$make!(4, false), $make!(8, false), $make!(4, true), $make!(8, true)]
    };
}

/// Hands every number of warps to `$make!`, likewise.
macro_rules! for_each_compact {
    (items $make:ident) => {
        $make!(4);
        $make!(8);
    };
    (array $make:ident) => {
        [$make!(4), $make!(8)]
    };
}

/// Hands every number of warps to `$make!`, likewise.
macro_rules! for_each_capture {
    (items $make:ident) => {
        $make!(4);
    };
    (array $make:ident) => {
        [$make!(4)]
    };
}

/// The names of variants' entries, of their PTX files and, so, their stable ids.
macro_rules! append_name {
    ($w:literal, false) => {
        concat!("append_w", $w)
    };
    ($w:literal, true) => {
        concat!("append_w", $w, "_overlap")
    };
}

macro_rules! compact_name {
    ($w:literal) => {
        concat!("compact_w", $w)
    };
}

macro_rules! capture_name {
    ($w:literal) => {
        concat!("capture_w", $w)
    };
}

/// The device's entries.
#[cfg(target_arch = "nvptx64")]
mod entries {
    use super::{
        super::params::{AppendParams, CaptureParams, CompactParams},
        *,
    };

    macro_rules! append_entry {
        ($w:literal, $o:tt) => {
            const _: () = {
                /// # Safety
                /// As [`append`].
                #[unsafe(export_name = append_name!($w, $o))]
                unsafe extern "ptx-kernel" fn entry(params: AppendParams) {
                    // SAFETY: the launch's promise.
                    unsafe { append::<$w, $o>(&params) }
                }
            };
        };
    }

    macro_rules! compact_entry {
        ($w:literal) => {
            const _: () = {
                /// # Safety
                /// As [`compact`].
                #[unsafe(export_name = compact_name!($w))]
                unsafe extern "ptx-kernel" fn entry(params: CompactParams) {
                    // SAFETY: the launch's promise.
                    unsafe { compact::<$w>(&params) }
                }
            };
        };
    }

    macro_rules! capture_entry {
        ($w:literal) => {
            const _: () = {
                /// # Safety
                /// As [`capture`].
                #[unsafe(export_name = capture_name!($w))]
                unsafe extern "ptx-kernel" fn entry(params: CaptureParams) {
                    // SAFETY: the launch's promise.
                    unsafe { capture::<$w>(&params) }
                }
            };
        };
    }

    for_each_append!(items append_entry);
    for_each_compact!(items compact_entry);
    for_each_capture!(items capture_entry);
}

#[cfg(not(target_arch = "nvptx64"))]
pub use registry::{APPEND, CAPTURE, COMPACT};

#[cfg(not(target_arch = "nvptx64"))]
mod registry {
    #[cfg(feature = "executor")]
    use super::*;
    use crate::registry::{AppendVariant, CaptureVariant, CompactVariant, Ptx, Target};

    macro_rules! append_variant {
        ($w:literal, $o:tt) => {
            AppendVariant {
                id: append_name!($w, $o),
                revision: APPEND_REVISION,
                target: if $o { Target::Sm90 } else { Target::Sm80 },
                warps: $w,
                overlaps: $o,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", append_name!($w, $o), ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: append::<$w, $o>,
            }
        };
    }

    macro_rules! compact_variant {
        ($w:literal) => {
            CompactVariant {
                id: compact_name!($w),
                revision: COMPACT_REVISION,
                target: Target::Sm80,
                warps: $w,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", compact_name!($w), ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: compact::<$w>,
            }
        };
    }

    macro_rules! capture_variant {
        ($w:literal) => {
            CaptureVariant {
                id: capture_name!($w),
                revision: CAPTURE_REVISION,
                target: Target::Sm80,
                warps: $w,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", capture_name!($w), ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: capture::<$w>,
            }
        };
    }

    /// Rises whenever a variant's meaning changes: its parameters, its results or its resources.
    const APPEND_REVISION: u32 = 2;
    /// Likewise.
    const COMPACT_REVISION: u32 = 1;
    /// Likewise.
    const CAPTURE_REVISION: u32 = 1;

    /// Every compiled configuration of appending.
    pub static APPEND: &[AppendVariant] = &for_each_append!(array append_variant);

    /// Every compiled configuration of compacting.
    pub static COMPACT: &[CompactVariant] = &for_each_compact!(array compact_variant);

    /// Every compiled configuration of capturing.
    pub static CAPTURE: &[CaptureVariant] = &for_each_capture!(array capture_variant);
}
