//! The list of compiled configurations: one PTX entry each on the device, one registry line each on the host.

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
use {
    super::kernel::attention,
    crate::simt::{Bf16, F16},
};

/// Hands every combination of element type, head size and tile to `$make!`, as items or as an array.
macro_rules! for_each_variant {
    (@cross items $make:ident: $(($w:literal $m:literal $c:literal $s:literal))*) => {$(
        $make!(Bf16, "bf16", 128, $w, $m, $c, $s);
        $make!(Bf16, "bf16", 64, $w, $m, $c, $s);
        $make!(F16, "f16", 128, $w, $m, $c, $s);
        $make!(F16, "f16", 64, $w, $m, $c, $s);
    )*};
    (@cross array $make:ident: $(($w:literal $m:literal $c:literal $s:literal))*) => {[$(
        $make!(Bf16, "bf16", 128, $w, $m, $c, $s),
        $make!(Bf16, "bf16", 64, $w, $m, $c, $s),
        $make!(F16, "f16", 128, $w, $m, $c, $s),
        $make!(F16, "f16", 64, $w, $m, $c, $s),
    )*]};
    ($shape:ident $make:ident) => {
        for_each_variant! { @cross $shape $make:
            // warps, token groups per warp, column groups, stages
            (4 1 1 2) (4 1 1 4) (8 1 1 3)
            (4 1 2 2) (4 1 2 4) (4 2 2 3) (8 1 2 2) (8 1 2 4) (16 1 2 2)
            (4 1 4 2) (4 1 4 4) (8 1 4 3) (16 1 4 2)
            (4 1 5 2) (4 1 5 3) (4 1 5 4) (4 1 5 6) (4 2 5 2) (4 2 5 4)
            (8 1 5 2) (8 1 5 3) (8 1 5 4) (8 2 5 2)
            (4 1 8 2) (4 1 8 3) (4 1 8 4) (8 1 8 2) (8 1 8 4)
        }
    };
}

/// The name of a variant's entry, of its PTX file and, so, its stable id.
macro_rules! name {
    ($dtype:literal, $d:literal, $w:literal, $m:literal, $c:literal, $s:literal) => {
        concat!("attention_mma_", $dtype, "_d", $d, "_w", $w, "_m", $m, "_c", $c, "_s", $s)
    };
}

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
macro_rules! body {
    ($element:ident, $d:literal, $w:literal, $m:literal, $c:literal, $s:literal) => {
        attention::<
            $element,
            $d,
            $w,
            $m,
            $c,
            $s,
            {
                crate::attention::config::Tile { warps: $w, groups: $m, columns: $c, stages: $s }.dims($d)
                    as usize
            },
        >
    };
}

/// The device's entries.
#[cfg(target_arch = "nvptx64")]
mod entries {
    use super::{super::params::Params, *};

    macro_rules! entry {
        ($element:ident, $dtype:literal, $d:literal, $w:literal, $m:literal, $c:literal, $s:literal) => {
            const _: () = {
                /// # Safety
                /// As [`attention`].
                #[unsafe(export_name = name!($dtype, $d, $w, $m, $c, $s))]
                unsafe extern "ptx-kernel" fn entry(params: Params) {
                    // SAFETY: the launch's promise.
                    unsafe { body!($element, $d, $w, $m, $c, $s)(&params) }
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
        ($element:ident, $dtype:literal, $d:literal, $w:literal, $m:literal, $c:literal, $s:literal) => {{
            const TILE: Tile = Tile { warps: $w, groups: $m, columns: $c, stages: $s };
            const { TILE.check($d) };
            AttentionVariant {
                id: name!($dtype, $d, $w, $m, $c, $s),
                revision: REVISION,
                target: Target::Sm80,
                dtype: Dtype::$element,
                head_dim: $d,
                tile: TILE,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", name!($dtype, $d, $w, $m, $c, $s), ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: body!($element, $d, $w, $m, $c, $s),
            }
        }};
    }

    /// Rises whenever a variant's meaning changes: its parameters, its results or its resources.
    const REVISION: u32 = 1;

    /// Every compiled configuration of the attention kernel.
    pub static VARIANTS: &[AttentionVariant] = &for_each_variant!(array variant);
}
