//! The choice without a profile, in one sentence for each kernel. The rules themselves are those of `dustin`'s
//! `default_candidate` functions, whose documentation says what they rest on.

use dustin::profile::{Kernel, Key};

/// The rule for the kernel and the kind of device of `key`.
pub(super) const fn of(key: &Key) -> &'static str {
    match (key.kernel.kernel(), key.device.is_gpu()) {
        (Kernel::SparseAttention, true) => {
            "small tiles with many teams where there is a multiprocessor for each block of 16 query columns and sets are \
             short; else the fewest chunks and idle columns, warpgroups where they are half used; as many splits as \
             multiprocessors are left over for"
        }
        (Kernel::SrhScore, true) => {
            "overlapping launches, 8 warps, tiles of 4 KiB, the shortest ring, and as many splits as give every \
             multiprocessor 16 warps, but no more than there are chunks"
        }
        (Kernel::Selection, true) => {
            "the largest clusters that have a place at a time and four positions for each thread, of 16 warps"
        }
        (Kernel::SparseAttention, false) => {
            "tiles of 64 tokens, 4 columns, all threads, and as many splits as give each of them a task"
        }
        (Kernel::SrhScore, false) => {
            "tiles of 64 tokens, all threads, and as many columns as read one KV head"
        }
        (Kernel::Selection, false) => "all threads, and the largest chunks that give each of them a task",
    }
}
