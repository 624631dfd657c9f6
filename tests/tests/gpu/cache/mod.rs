//! Writing to caches.
//!
//! | file | what it tests |
//! |---|---|
//! | `append` | a step's own rows: random steps, faults, repeats, graphs, caches beyond 2^32 items, and small problems for compute-sanitizer |
//! | `compact` | the accepted rows of all layers: random lists, faults, repeats and graphs, and small problems for compute-sanitizer |
//! | `capture` | queries of one row of each sequence: random inputs, faults and graphs, and small problems for compute-sanitizer |

mod append;
mod capture;
mod compact;

use libtest_mimic::Trial;

pub(super) fn trials() -> Vec<Trial> {
    [append::trials(), compact::trials(), capture::trials()].into_iter().flatten().collect()
}
