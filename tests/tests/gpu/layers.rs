//! Layers of a step, [append → attention] one behind the other: with and without launches that overlap, eager and captured.

use dustin::{
    attention::{reference, space::Candidate},
    cuda::Graph,
};
use dustin_kernels::registry::{APPEND, ATTENTION, AppendVariant};
use dustin_tests::{
    cuda_backend::Asked,
    cuda_layers::{Layers, Order},
    gpu::{Gpu, text, trial},
    verdict::{Attended, judge},
};
use libtest_mimic::Trial;

use super::{ragged_input, stream};

/// More than a chain of launches that overlap can have in flight.
const LAYERS: u64 = 4;

pub(super) fn trials() -> Vec<Trial> {
    let of = |append: &'static AppendVariant| {
        let name = format!("layers_of_{}_and_attention_have_the_bits_of_launches_one_by_one", append.id);
        trial(name, move |gpu| one_by_one(gpu, append))
    };
    APPEND.iter().map(of).collect()
}

/// What launches write, bit for bit.
fn bits(attended: Vec<Attended>) -> Vec<(Vec<u32>, Vec<u32>, u64)> {
    let lse = |lse: Option<Vec<f32>>| lse.into_iter().flatten().map(f32::to_bits).collect();
    let layer = |attended: Attended| (attended.output.bits(), lse(attended.lse), attended.status);
    attended.into_iter().map(layer).collect()
}

/// Sets, tables and contents differ from layer to layer, lengths and rows do not.
fn one_by_one(gpu: &Gpu, append: &'static AppendVariant) -> Result<(), String> {
    let stream = stream(gpu)?;
    let variants = ATTENTION.iter().filter(|variant| variant.tile.overlaps == append.overlaps);
    for (seed, variant) in variants.enumerate() {
        let candidate = Candidate { variant, splits: (1 + seed as u32 % 3).into() };
        let asked = Asked::rounded(candidate);
        // The same parity, on which the layout depends.
        let inputs = (0..LAYERS).map(|layer| ragged_input(variant, seed as u64 + 2 * layer));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let mut layers = Layers::new(&gpu.modules, &stream, inputs, append, asked)?;
        layers.launch(&stream, Order::Waiting).map_err(text)?;
        let waiting = layers.attended(&stream)?;
        for (index, (input, attended)) in layers.inputs().zip(&waiting).enumerate() {
            let reference = reference::attention(&input.problem, &input.arrays()).map_err(text)?;
            judge(input, &reference, attended, asked.lse_base)
                .map_err(|error| format!("{candidate}, seed {seed}, layer {index}: {error}"))?;
        }
        let waiting = bits(waiting);
        for order in [Order::Serial, Order::Overlapping] {
            let mut graph = Graph::capture(&stream, || layers.launch(&stream, order)).map_err(text)?;
            for captured in [false, true, true] {
                layers.renew(&stream).map_err(text)?;
                if captured {
                    // SAFETY: what was captured lives in `layers`.
                    unsafe { graph.launch(&stream) }.map_err(text)?;
                } else {
                    layers.launch(&stream, order).map_err(text)?;
                }
                let attended = layers.attended(&stream);
                let attended = attended.map_err(|error| {
                    format!("{candidate}, seed {seed}, {order:?}, captured: {captured}: {error}")
                })?;
                if bits(attended) != waiting {
                    return Err(format!(
                        "{candidate}, seed {seed}, {order:?}, captured: {captured}: other bits"
                    ));
                }
            }
        }
    }
    Ok(())
}
