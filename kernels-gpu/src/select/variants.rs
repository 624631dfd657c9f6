//! The list of compiled configurations: one PTX entry each on the device, one registry line each on the host.

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
use super::kernel::select;

/// Hands every configuration to `$make!`, as items or as an array: warps, whether a cluster may share a sequence, name.
macro_rules! for_each {
    (@list items $make:ident: $(($w:literal $clustered:literal $name:literal $target:ident))*) => {
        $($make!($w, $clustered, $name, $target);)*
    };
    (@list array $make:ident: $(($w:literal $clustered:literal $name:literal $target:ident))*) => {
        [$($make!($w, $clustered, $name, $target)),*]
    };
    ($shape:ident $make:ident) => {
        for_each! { @list $shape $make:
            (8 false "select_w8" Sm80)
            (16 false "select_w16" Sm80)
            (8 true "select_cluster_w8" Sm90)
            (16 true "select_cluster_w16" Sm90)
            (32 true "select_cluster_w32" Sm90)
        }
    };
}

/// The device's entries.
#[cfg(target_arch = "nvptx64")]
mod entries {
    use super::{super::params::Params, *};

    macro_rules! entry {
        ($w:literal, $clustered:literal, $name:literal, $target:ident) => {
            const _: () = {
                /// # Safety
                /// As [`select`].
                #[unsafe(export_name = $name)]
                unsafe extern "ptx-kernel" fn entry(params: Params) {
                    // SAFETY: the launch's promise.
                    unsafe { select::<$w, $clustered>(&params) }
                }
            };
        };
    }

    for_each!(items entry);
}

#[cfg(not(target_arch = "nvptx64"))]
pub use registry::SELECT;

#[cfg(not(target_arch = "nvptx64"))]
mod registry {
    #[cfg(feature = "executor")]
    use super::*;
    use crate::{
        registry::{Ptx, SelectVariant, Target},
        select::config::Tile,
    };

    macro_rules! variant {
        ($w:literal, $clustered:literal, $name:literal, $target:ident) => {{
            const TILE: Tile = Tile { warps: $w, clustered: $clustered };
            const { TILE.check() };
            SelectVariant {
                id: $name,
                revision: REVISION,
                target: Target::$target,
                tile: TILE,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", $name, ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: select::<$w, $clustered>,
            }
        }};
    }

    /// Rises whenever a variant's meaning changes: its parameters, its results or its resources.
    const REVISION: u32 = 3;

    /// Every compiled configuration.
    pub static SELECT: &[SelectVariant] = &for_each!(array variant);
}
