//! The list of compiled configurations: one PTX entry each on the device, one registry line each on the host.

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
use {
    super::kernel::{by_groups, by_warps},
    crate::simt::{Bf16, F16},
};

/// Hands every combination of element type, head size and tile to `$make!`, as items or as an array.
macro_rules! for_each_variant {
    (@cross items $make:ident: $(($c:literal $t:literal $n:literal $s:literal $o:tt))*) => {$(
        $make!(Bf16, "bf16", 128, $c, $t, $n, $s, $o);
        $make!(Bf16, "bf16", 64, $c, $t, $n, $s, $o);
        $make!(F16, "f16", 128, $c, $t, $n, $s, $o);
        $make!(F16, "f16", 64, $c, $t, $n, $s, $o);
    )*};
    (@cross array $make:ident: $(($c:literal $t:literal $n:literal $s:literal $o:tt))*) => {[$(
        $make!(Bf16, "bf16", 128, $c, $t, $n, $s, $o),
        $make!(Bf16, "bf16", 64, $c, $t, $n, $s, $o),
        $make!(F16, "f16", 128, $c, $t, $n, $s, $o),
        $make!(F16, "f16", 64, $c, $t, $n, $s, $o),
    )*]};
    ($shape:ident $make:ident) => {
        for_each_variant! { @cross $shape $make:
            // groups of 16 query columns, teams, token groups, stages; the GPUs: all, those whose launches overlap, those with wgmma
            (1 2 2 3 all) (1 4 1 4 all) (2 2 2 3 all) (2 4 1 4 all)
            (3 2 1 4 all) (3 2 2 3 all) (3 4 1 3 all) (4 2 2 3 all) (4 3 1 4 all)
            (1 4 1 4 overlap) (1 8 1 3 overlap) (1 12 1 2 overlap)
            (2 4 1 4 overlap) (2 4 2 3 overlap) (2 6 1 4 overlap)
            (3 1 2 2 overlap) (3 2 2 3 overlap) (3 4 1 3 overlap) (3 4 2 3 overlap)
            (4 2 2 3 overlap) (4 3 2 3 overlap)
            (8 1 2 4 wgmma) (8 2 2 4 wgmma)
            (4 1 2 2 wgmma) (4 2 2 2 wgmma) (4 2 2 3 wgmma) (4 3 2 3 wgmma) (4 3 2 4 wgmma) (4 4 2 3 wgmma)
        }
    };
}

/// The name of a variant's entry, of its PTX file and, so, its stable id.
macro_rules! name {
    ($dtype:literal, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal, all) => {
        concat!("attention_", $dtype, "_d", $d, "_c", $c, "_t", $t, "_n", $n, "_s", $s)
    };
    ($dtype:literal, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal, overlap) => {
        concat!("attention_", $dtype, "_d", $d, "_c", $c, "_t", $t, "_n", $n, "_s", $s, "_overlap")
    };
    ($dtype:literal, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal, wgmma) => {
        concat!("attention_", $dtype, "_d", $d, "_c", $c, "_t", $t, "_n", $n, "_s", $s, "_wgmma")
    };
}

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
macro_rules! body {
    ($element:ident, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal, all) => {
        by_warps::<$element, $d, $c, $t, $n, $s, false, { $d / 16 }, { $d / 8 }, { 2 * $n }>
    };
    ($element:ident, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal, overlap) => {
        by_warps::<$element, $d, $c, $t, $n, $s, true, { $d / 16 }, { $d / 8 }, { 2 * $n }>
    };
    ($element:ident, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal, wgmma) => {
        by_groups::<$element, $d, $c, $t, $n, $s, { $d / 16 }, { $d / 8 }, { 2 * $n }>
    };
}

/// The device's entries.
#[cfg(target_arch = "nvptx64")]
mod entries {
    use super::{super::params::Params, *};

    macro_rules! entry {
        ($element:ident, $dtype:literal, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal, $o:tt) => {
            const _: () = {
                /// # Safety
                /// As [`by_warps`].
                #[unsafe(export_name = name!($dtype, $d, $c, $t, $n, $s, $o))]
                unsafe extern "ptx-kernel" fn entry(params: Params) {
                    // SAFETY: the launch's promise.
                    unsafe { body!($element, $d, $c, $t, $n, $s, $o)(&params) }
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

    macro_rules! target {
        (all) => {
            Target::Sm80
        };
        (overlap) => {
            Target::Sm90
        };
        (wgmma) => {
            Target::Sm90a
        };
    }

    macro_rules! variant {
        ($element:ident, $dtype:literal, $d:literal, $c:literal, $t:literal, $n:literal, $s:literal, $o:tt) => {{
            const TARGET: Target = target!($o);
            const TILE: Tile = Tile {
                columns: $c,
                teams: $t,
                groups: $n,
                stages: $s,
                overlaps: !matches!(TARGET, Target::Sm80),
                wgmma: matches!(TARGET, Target::Sm90a),
            };
            const { TILE.check($d) };
            AttentionVariant {
                id: name!($dtype, $d, $c, $t, $n, $s, $o),
                revision: REVISION,
                target: TARGET,
                dtype: Dtype::$element,
                head_dim: $d,
                tile: TILE,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", name!($dtype, $d, $c, $t, $n, $s, $o), ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: body!($element, $d, $c, $t, $n, $s, $o),
            }
        }};
    }

    /// Rises whenever a variant's meaning changes: its parameters, its results or its resources.
    const REVISION: u32 = 3;

    /// Every compiled configuration of the attention kernel.
    pub static VARIANTS: &[AttentionVariant] = &for_each_variant!(array variant);
}
