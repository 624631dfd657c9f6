//! Acceptance.
//!
//! | file | what it tests |
//! |---|---|
//! | `reference` | random steps, many rows and vocabularies of models, against the f64 reference with the same random numbers |
//! | `faults` | what only the device can see: masked, reported, sticky |
//! | `graphs` | capture and replay: each replay a step of its own; the same results whatever else there is |
//! | `statistics` | whether tokens are distributed as the target's |

mod faults;
mod graphs;
mod reference;
mod statistics;

use libtest_mimic::Trial;

pub(super) fn trials() -> Vec<Trial> {
    [reference::trials(), faults::trials(), graphs::trials(), statistics::trials()]
        .into_iter()
        .flatten()
        .collect()
}
