//! The list of compiled configurations: one PTX entry each on the device, one registry line each on the host.

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
use {
    super::kernel::attention,
    crate::simt::{Bf16, F16},
};

/// Hands every combination of element type, head size and tile to `$make!`, as items or as an array.
macro_rules! for_each_variant {
    (@cross items $make:ident: $(($c:literal $t:literal $n:literal $s:literal))*) => {$(
        $make!(Bf16, "bf16", 128, $c, $t, $n, $s);
        $make!(Bf16, "bf16", 64, $c, $t, $n, $s);
        $make!(F16, "f16", 128, $c, $t, $n, $s);
        $make!(F16, "f16", 64, $c, $t, $n, $s);
    )*};
    (@cross array $make:ident: $(($c:literal $t:literal $n:literal $s:literal))*) => {[$(
        $make!(Bf16, "bf16", 128, $c, $t, $n, $s),
        $make!(Bf16, "bf16", 64, $c, $t, $n, $s),
        $make!(F16, "f16", 128, $c, $t, $n, $s),
        $make!(F16, "f16", 64, $c, $t, $n, $s),
    )*]};
    ($shape:ident $make:ident) => {
        for_each_variant! { @cross $shape $make:
            // groups of 16 query columns, teams, token groups, stages
            (1 2 1 4) (1 2 2 3) (1 4 1 4) (1 4 2 3) (1 8 1 3) (1 12 1 2)
            (2 2 1 6) (2 2 2 3) (2 4 1 4) (2 4 2 3) (2 6 1 4)
            (3 2 1 4) (3 2 1 6) (3 2 2 3) (3 2 2 4) (3 3 2 3)
            (3 4 1 3) (3 4 1 4) (3 4 1 5) (3 4 1 6) (3 4 2 3)
            (4 2 2 3) (4 3 1 4) (4 3 2 3)
        }
    };
}

/// The name of a variant's entry, of its PTX file and, so, its stable id.
macro_rules! name {
    ($dtype:literal, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal) => {
        concat!("attention_", $dtype, "_d", $d, "_c", $c, "_t", $t, "_n", $n, "_s", $s)
    };
}

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
macro_rules! body {
    ($element:ident, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal) => {
        attention::<$element, $d, $c, $t, $n, $s, { $d / 16 }, { $d / 8 }, { 2 * $n }>
    };
}

/// The device's entries.
#[cfg(target_arch = "nvptx64")]
mod entries {
    use super::{super::params::Params, *};

    macro_rules! entry {
        ($element:ident, $dtype:literal, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal) => {
            const _: () = {
                /// # Safety
                /// As [`attention`].
                #[unsafe(export_name = name!($dtype, $d, $c, $t, $n, $s))]
                unsafe extern "ptx-kernel" fn entry(params: Params) {
                    // SAFETY: the launch's promise.
                    unsafe { body!($element, $d, $c, $t, $n, $s)(&params) }
                }
            };
        };
    }

    for_each_variant!(items entry);
}

#[cfg(not(target_arch = "nvptx64"))]
pub use registry::VARIANTS;

#[cfg(not(target_arch = "nvptx64"))]
mod registry {
    #[cfg(feature = "executor")]
    use super::*;
    use crate::{
        attention::config::Tile,
        registry::{AttentionVariant, Dtype, Ptx, Target},
    };

    macro_rules! variant {
        ($element:ident, $dtype:literal, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal) => {{
            const TILE: Tile = Tile { columns: $c, teams: $t, groups: $n, stages: $s };
            const { TILE.check($d) };
            AttentionVariant {
                id: name!($dtype, $d, $c, $t, $n, $s),
                revision: REVISION,
                target: Target::Sm80,
                dtype: Dtype::$element,
                head_dim: $d,
                tile: TILE,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", name!($dtype, $d, $c, $t, $n, $s), ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: body!($element, $d, $c, $t, $n, $s),
            }
        }};
    }

    /// Rises whenever a variant's meaning changes: its parameters, its results or its resources.
    const REVISION: u32 = 1;

    /// Every compiled configuration of the attention kernel.
    pub static VARIANTS: &[AttentionVariant] = &for_each_variant!(array variant);
}
