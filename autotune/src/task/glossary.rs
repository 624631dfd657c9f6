//! What the short words of the space mean: parameters, kernels, and what leaves points out.

use dustin::{
    limits::Bound,
    profile::{Kernel, Key},
};

/// A kernel, as documents call it.
pub(crate) const fn kernel(kernel: Kernel) -> &'static str {
    match kernel {
        Kernel::SparseAttention => "attention",
        Kernel::SrhScore => "scoring",
        Kernel::Selection => "selection",
    }
}

/// What leaves points out.
pub(crate) const fn bound(bound: Bound) -> &'static str {
    match bound {
        Bound::ComputeCapability => "compute capability",
        Bound::SharedMemory => "shared memory",
        Bound::Threads => "threads",
        Bound::Idle => "idle parts",
        Bound::Contract => "contract",
    }
}

/// The parameter that variants' ids and launches have under this name, for the kernel of `key`.
pub(crate) fn parameter(key: &Key, name: &str) -> String {
    let words = match (key.kernel.kernel(), key.device.is_gpu(), name) {
        (_, _, "family") => "kind",
        (_, _, "fold family") => "fold's kind",
        (_, _, "fold w") => "fold's warps",
        (_, _, "cluster") => "blocks in a cluster",
        (Kernel::SparseAttention, true, "c") => "columns (groups of 16)",
        (Kernel::SparseAttention, true, "t") => "teams of warps",
        (Kernel::SparseAttention, true, "n") => "tokens in a step (groups of 16)",
        (Kernel::SparseAttention, true, "s") => "stages",
        (Kernel::SrhScore, true, "h") => "tokens in a tile (groups of 8)",
        (Kernel::SrhScore, true, "u") => "tiles in flight",
        (Kernel::SrhScore | Kernel::Selection, true, "w") => "warps",
        (Kernel::SparseAttention | Kernel::SrhScore, false, "t") => "tokens in a tile",
        (Kernel::SparseAttention | Kernel::SrhScore, false, "q") => "query columns",
        (Kernel::Selection, false, "c") => "positions in a chunk",
        _ => name,
    };
    words.into()
}
