//! The verifier.
//!
//! | file | what it tests |
//! |---|---|
//! | `steps` | whole steps against the f64 references, planted needles, the ranks of tensor parallelism |
//! | `graphs` | one graph of a whole step, replayed for other batches |
//! | `concurrent` | several streams and threads at once |

mod concurrent;
mod graphs;
mod steps;

use dustin_tests::{
    gpu::{Gpu, text},
    verifier::{cuda::Engine, world::World},
};
use libtest_mimic::Trial;

use super::stream;

pub(super) fn trials() -> Vec<Trial> {
    [steps::trials(), graphs::trials(), concurrent::trials()].into_iter().flatten().collect()
}

/// An engine of `world`.
fn engine(gpu: &Gpu, world: &World) -> Result<Engine, String> {
    let stream = stream(gpu)?;
    let engine = Engine::new(&gpu.modules, &stream, world)?;
    stream.synchronize().map_err(text)?;
    Ok(engine)
}
