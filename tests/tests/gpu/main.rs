//! Tests on a GPU. Without one they count as skipped; under `DUSTIN_REQUIRE_GPU=1` they fail.
//!
//! | file | what it tests |
//! |---|---|
//! | `probe` | the compiler's probe: barriers that must not be duplicated |
//! | `attention` | every variant, and random problems, against the f64 reference |
//! | `faults` | what only the device can see: masked, reported, sticky |
//! | `determinism` | the same bits, whatever else is in the batch |
//! | `graphs` | capture and replay |
//! | `layers` | layers of a step, append and attention in turn |
//! | `callers` | contexts, streams, memory and threads of the caller |
//! | `capi` | the same through the C ABI |
//! | `large` | caches beyond 2^31 items |
//! | `errors` | errors that only a driver with a device can give |
//! | `score`, `select`, `cache`, `accept` | score gathering, selection, writing to caches and acceptance, likewise |
//! | `chain` | from queries to sets: both on one stream, and by the ranks of tensor parallelism |
//! | `verifier` | whole steps: against the references, captured, on several streams and threads |
//! | `sanitize` | one small problem per variant, cheap enough for compute-sanitizer |

mod accept;
mod attention;
mod cache;
mod callers;
mod capi;
mod chain;
mod determinism;
mod errors;
mod faults;
mod graphs;
mod large;
mod layers;
mod probe;
mod sanitize;
mod score;
mod select;
mod verifier;

use std::{ffi::OsString, num::NonZero, process::ExitCode};

use dustin::{
    attention::{
        launch::Splits,
        problem::{Confirmed, Mask, Sets},
        space::Candidate,
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    cuda::Stream,
    kv::KvLayout,
};
use dustin_kernels::registry::{ATTENTION, AttentionVariant};
use dustin_tests::gpu::{Gpu, text};
use libtest_mimic::Arguments;

fn main() -> ExitCode {
    if errors::is_child() {
        return errors::lose_the_device();
    }
    let arguments = Arguments::from_args();
    let trials = [
        probe::trials(),
        attention::trials(),
        faults::trials(),
        determinism::trials(),
        graphs::trials(),
        callers::trials(),
        capi::trials(),
        large::trials(),
        layers::trials(),
        errors::trials(),
        sanitize::trials(),
        score::trials(),
        select::trials(),
        chain::trials(),
        cache::trials(),
        accept::trials(),
        verifier::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// How many random problems to draw: `usual`, unless `DUSTIN_GPU_PROBLEMS` says otherwise.
fn problems(usual: NonZero<usize>) -> Result<usize, String> {
    parse_problems(std::env::var_os("DUSTIN_GPU_PROBLEMS"), usual)
}

fn parse_problems(value: Option<OsString>, usual: NonZero<usize>) -> Result<usize, String> {
    let Some(value) = value else { return Ok(usual.get()) };
    let count = value.to_str().and_then(|text| text.parse::<NonZero<usize>>().ok());
    count.map(NonZero::get).ok_or_else(|| format!("DUSTIN_GPU_PROBLEMS must be at least 1, but is {value:?}"))
}

/// A ragged batch for `variant`: an empty sequence, one without rows, sets from nothing to the whole sequence, the flag EVERYTHING, and
/// more query columns than any variant serves at once; for odd seeds with trees.
fn ragged(variant: &AttentionVariant, seed: u64) -> Recipe {
    let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
    Recipe {
        dtype: variant.dtype,
        head_dim: variant.head_dim,
        kv_heads: 2,
        group: 9,
        page_size: 16,
        layout: if seed.is_multiple_of(2) { KvLayout::Nhd } else { KvLayout::Hnd },
        sequences: vec![
            shape(700, 8, 333),
            shape(0, 3, 0),
            shape(130, 0, 40),
            shape(65, 1, 65),
            shape(900, 5, 0),
            shape(1, 2, 1),
            shape(410, 4, SequenceShape::EVERYTHING),
        ],
        confirmed: Confirmed::Sets(Sets::of_positions(0)),
        mask: if seed.is_multiple_of(2) { Mask::Causal } else { Mask::Tree },
        spare: 2,
        padding: 1,
        head_major: false,
        lse: true,
        contents: Contents { logits: Logits::Peaked, sorted: false, poison_unselected: true, seed },
    }
}

/// The input of [`ragged`].
fn ragged_input(variant: &AttentionVariant, seed: u64) -> Result<AttentionInput, String> {
    ragged(variant, seed).input().map_err(text)
}

/// A few variants of each element type and head size, among them the smallest and the largest tiles.
fn some_variants() -> impl Iterator<Item = Candidate> {
    let splits = [1, 3, 4, 2, 6].into_iter().cycle();
    let some = ATTENTION.iter().step_by(7).zip(splits.map(Splits::from));
    let clustered = ATTENTION.iter().filter(|variant| variant.tile.clusters(variant.head_dim)).step_by(7);
    let clustered = clustered.zip([2, 3, 8].into_iter().cycle().map(Splits::of_cluster));
    some.chain(clustered).map(|(variant, splits)| Candidate { variant, splits })
}

/// A stream of the shared context.
fn stream(gpu: &Gpu) -> Result<Stream, String> {
    Stream::new(&gpu.context).map_err(text)
}
