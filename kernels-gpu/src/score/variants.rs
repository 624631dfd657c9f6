//! The lists of compiled configurations: one PTX entry each on the device, one registry line each on the host.

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
use {
    super::{fold::fold, logits::logits},
    crate::simt::{Bf16, F16},
};

/// Hands every combination of element type, head size and tile to `$make!`, as items or as an array.
macro_rules! for_each_logits {
    (@cross items $make:ident: $(($d:literal $w:literal $h:literal $u:literal $o:tt))*) => {$(
        $make!(Bf16, "bf16", $d, $w, $h, $u, $o);
        $make!(F16, "f16", $d, $w, $h, $u, $o);
    )*};
    (@cross array $make:ident: $(($d:literal $w:literal $h:literal $u:literal $o:tt))*) => {[$(
        $make!(Bf16, "bf16", $d, $w, $h, $u, $o),
        $make!(F16, "f16", $d, $w, $h, $u, $o),
    )*]};
    ($shape:ident $make:ident) => {
        for_each_logits! { @cross $shape $make:
            // head size, warps, token groups in a tile, tiles in a warp's ring, whether launches overlap
            (128 4 2 3 false) (128 8 2 2 false) (128 8 2 2 true) (128 8 2 3 false) (128 4 4 2 false)
            (64 4 2 4 false) (64 8 2 3 false) (64 8 2 3 true) (64 4 4 2 false) (64 8 4 3 false) (64 8 4 3 true)
        }
    };
}

macro_rules! for_each_fold {
    (items $make:ident) => {
        $make!(4, false);
        $make!(8, false);
        $make!(16, false);
        $make!(8, true);
        $make!(16, true);
    };
    (array $make:ident) => {
        [$make!(4, false), $make!(8, false), $make!(16, false), $make!(8, true), $make!(16, true)]
    };
}

/// The names of variants' entries, of their PTX files and, so, their stable ids.
macro_rules! logits_name {
    ($dtype:literal, $d:literal, $w:literal, $h:literal, $u:literal, false) => {
        concat!("score_logits_", $dtype, "_d", $d, "_w", $w, "_h", $h, "_u", $u)
    };
    ($dtype:literal, $d:literal, $w:literal, $h:literal, $u:literal, true) => {
        concat!("score_logits_", $dtype, "_d", $d, "_w", $w, "_h", $h, "_u", $u, "_overlap")
    };
}

macro_rules! fold_name {
    ($w:literal, false) => {
        concat!("score_fold_w", $w)
    };
    ($w:literal, true) => {
        concat!("score_fold_w", $w, "_overlap")
    };
}

/// Packed words of the source before that a lane folds at a time. For sm_80 the registers have room for no more beside what the
/// keys need.
#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
const fn words(overlaps: bool) -> usize {
    if overlaps { 4 } else { 2 }
}

#[cfg(any(target_arch = "nvptx64", feature = "executor"))]
macro_rules! logits_body {
    ($element:ident, $d:literal, $w:literal, $h:literal, $u:literal, $o:tt) => {
        logits::<$element, $d, $w, $h, $u, { $d / 32 }, { words($o) }, $o>
    };
}

/// The device's entries.
#[cfg(target_arch = "nvptx64")]
mod entries {
    use super::{
        super::params::{FoldParams, Params},
        *,
    };

    macro_rules! logits_entry {
        ($element:ident, $dtype:literal, $d:literal, $w:literal, $h:literal, $u:literal, $o:tt) => {
            const _: () = {
                /// # Safety
                /// As [`logits`].
                #[unsafe(export_name = logits_name!($dtype, $d, $w, $h, $u, $o))]
                unsafe extern "ptx-kernel" fn entry(params: Params) {
                    // SAFETY: the launch's promise.
                    unsafe { logits_body!($element, $d, $w, $h, $u, $o)(&params) }
                }
            };
        };
    }

    macro_rules! fold_entry {
        ($w:literal, $o:tt) => {
            const _: () = {
                /// # Safety
                /// As [`fold`].
                #[unsafe(export_name = fold_name!($w, $o))]
                unsafe extern "ptx-kernel" fn entry(params: FoldParams) {
                    // SAFETY: the launch's promise.
                    unsafe { fold::<$w, $o>(&params) }
                }
            };
        };
    }

    for_each_logits!(items logits_entry);
    for_each_fold!(items fold_entry);
}

#[cfg(not(target_arch = "nvptx64"))]
pub use registry::{FOLD, LOGITS};

#[cfg(not(target_arch = "nvptx64"))]
mod registry {
    #[cfg(feature = "executor")]
    use super::*;
    use crate::{
        registry::{Dtype, FoldVariant, LogitsVariant, Ptx, Target},
        score::config::Tile,
    };

    macro_rules! logits_variant {
        ($element:ident, $dtype:literal, $d:literal, $w:literal, $h:literal, $u:literal, $o:tt) => {{
            const TILE: Tile = Tile { warps: $w, groups: $h, depth: $u, overlaps: $o };
            const { TILE.check($d) };
            LogitsVariant {
                id: logits_name!($dtype, $d, $w, $h, $u, $o),
                revision: REVISION,
                target: if $o { Target::Sm90 } else { Target::Sm80 },
                dtype: Dtype::$element,
                head_dim: $d,
                tile: TILE,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", logits_name!($dtype, $d, $w, $h, $u, $o), ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: logits_body!($element, $d, $w, $h, $u, $o),
            }
        }};
    }

    macro_rules! fold_variant {
        ($w:literal, $o:tt) => {
            FoldVariant {
                id: fold_name!($w, $o),
                revision: REVISION,
                target: if $o { Target::Sm90 } else { Target::Sm80 },
                warps: $w,
                overlaps: $o,
                ptx: Ptx::of(
                    #[cfg(feature = "ptx")]
                    include_str!(concat!("../../ptx/", fold_name!($w, $o), ".ptx")),
                ),
                #[cfg(feature = "executor")]
                body: fold::<$w, $o>,
            }
        };
    }

    /// Rises whenever a variant's meaning changes: its parameters, its results or its resources.
    const REVISION: u32 = 3;

    /// Every compiled configuration of the `logits` kernel.
    pub static LOGITS: &[LogitsVariant] = &for_each_logits!(array logits_variant);

    /// Every compiled configuration of the `fold` kernel.
    pub static FOLD: &[FoldVariant] = &for_each_fold!(array fold_variant);
}
