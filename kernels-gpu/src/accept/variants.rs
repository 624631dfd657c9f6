//! The lists of compiled configurations: one PTX entry each on the device, one registry line each on the host.

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
use super::{rows::rows, walk::walk};

/// Hands every configuration to `$make!`, as items or as an array: warps, groups of four tokens of a thread, name.
macro_rules! for_each_rows {
    (items $make:ident) => {
        $make!(8, 8, "accept_rows_w8");
    };
    (array $make:ident) => {
        [$make!(8, 8, "accept_rows_w8")]
    };
}

/// Hands every configuration to `$make!`, likewise: warps, blocks of a cluster, name, target.
macro_rules! for_each_walk {
    (@list items $make:ident: $(($w:literal $c:literal $name:literal $target:ident))*) => {
        $($make!($w, $c, $name, $target);)*
    };
    (@list array $make:ident: $(($w:literal $c:literal $name:literal $target:ident))*) => {
        [$($make!($w, $c, $name, $target)),*]
    };
    ($shape:ident $make:ident) => {
        for_each_walk! { @list $shape $make:
            (16 1 "accept_walk_w16" Sm80)
            (16 8 "accept_walk_cluster_w16" Sm90)
        }
    };
}

/// The device's entries.
#[cfg(target_arch = "nvptx64")]
mod entries {
    use super::{super::params::Params, *};

    macro_rules! rows_entry {
        ($w:literal, $g:literal, $name:literal) => {
            const _: () = {
                /// # Safety
                /// As [`rows`].
                #[unsafe(export_name = $name)]
                unsafe extern "ptx-kernel" fn entry(params: Params) {
                    // SAFETY: the launch's promise.
                    unsafe { rows::<$w, $g>(&params) }
                }
            };
        };
    }

    macro_rules! walk_entry {
        ($w:literal, $c:literal, $name:literal, $target:ident) => {
            const _: () = {
                /// # Safety
                /// As [`walk`].
                #[unsafe(export_name = $name)]
                unsafe extern "ptx-kernel" fn entry(params: Params) {
                    // SAFETY: the launch's promise.
                    unsafe { walk::<$w, $c>(&params) }
                }
            };
        };
    }

    for_each_rows!(items rows_entry);
    for_each_walk!(items walk_entry);
}

#[cfg(not(target_arch = "nvptx64"))]
pub use registry::{ACCEPT_ROWS, ACCEPT_WALK};

#[cfg(not(target_arch = "nvptx64"))]
mod registry {
    #[cfg(feature = "executor")]
    use super::*;
    use crate::registry::{AcceptRowsVariant, AcceptWalkVariant, Ptx, Target};

    macro_rules! rows_variant {
        ($w:literal, $g:literal, $name:literal) => {
            AcceptRowsVariant {
                id: $name,
                revision: REVISION,
                target: Target::Sm80,
                warps: $w,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", $name, ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: rows::<$w, $g>,
            }
        };
    }

    macro_rules! walk_variant {
        ($w:literal, $c:literal, $name:literal, $target:ident) => {
            AcceptWalkVariant {
                id: $name,
                revision: REVISION,
                target: Target::$target,
                warps: $w,
                cluster: $c,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", $name, ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: walk::<$w, $c>,
            }
        };
    }

    /// Rises whenever a variant's meaning changes: its parameters, its results or its resources. What one kernel writes the
    /// other reads.
    const REVISION: u32 = 1;

    /// Every compiled configuration of gathering the rows' figures.
    pub static ACCEPT_ROWS: &[AcceptRowsVariant] = &for_each_rows!(array rows_variant);

    /// Every compiled configuration of walking through the drafts.
    pub static ACCEPT_WALK: &[AcceptWalkVariant] = &for_each_walk!(array walk_variant);
}
