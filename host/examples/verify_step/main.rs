//! One verification step on synthetic caches, from the captured queries to the compacted caches, and what it saves.
//!
//! ```sh
//! cargo run --release -p dustin --example verify_step -- --help
//! ```
//!
//! On the GPU where there is one ([`gpu`]), else on the CPU ([`cpu`]): these two files are what an engine writes. The caches hold
//! *needles*, tokens that the captured queries attend to far more than to all others, and the step has to find all of them.
//!
//! | file | what it holds |
//! |---|---|
//! | `args` | what is asked, and the verifier's problem |
//! | `world`, `tile`, `needles` | caches, tables, queries and needles made up from a seed |
//! | `device` | the parts of a step |
//! | `cpu`, `gpu` | the parts on each device |
//! | `check` | what the step must have found |

mod args;
mod check;
mod cpu;
mod device;
mod gpu;
mod needles;
mod tile;
mod world;

use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser as _;
use dustin::{cuda, profile};

use crate::{
    args::{Args, Place, Shape},
    check::{Findings, check},
    cpu::Cpu,
    device::{ATTENTION, Device, Part, Reads, STEP},
    gpu::Gpu,
    world::World,
};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let on_gpu = match (args.device, cuda::available()) {
        (Place::Cpu, _) => false,
        (_, Ok(())) => true,
        (Place::Cuda, Err(error)) => return Err(error.into()),
        (Place::Auto, Err(error)) => {
            println!("{error}: the step runs on the CPU");
            false
        }
    };
    let entries = match &args.profile {
        Some(path) => {
            let profile::Read { profile, warnings } = profile::read(path)?;
            warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            profile.entries
        }
        None => Vec::new(),
    };
    let world = World::new(&Shape::new(args, on_gpu)?)?;
    if on_gpu {
        step(&world, &mut Gpu::new(&world, entries)?)
    } else {
        step(&world, &mut Cpu::new(&world, entries)?)
    }
}

/// Runs a step, judges it, and times it.
fn step(world: &World, device: &mut impl Device) -> anyhow::Result<()> {
    print_shape(world);
    println!("\nwhat serves each stage:\n{}", device.report());

    device.run(&[Part::CapturePrompt])?;
    device.run(&STEP)?;
    let results = device.results()?;
    print_findings(&check(world, &results)?);
    // The step has captured other queries for the one behind it.
    device.run(&[Part::CapturePrompt])?;
    device.replay(&STEP)?;
    ensure!(
        device.results()? == results,
        "the step replayed from one graph gave other bits than its launches"
    );
    println!("the same step once more, from one graph where the device has such: the same bits");

    print_times(world, device)
}

fn print_shape(world: &World) {
    let shape = &world.shape;
    println!(
        "batch {}, {} tokens each, {} rows, budget {} (m {}); {} layers of {} query heads on {} KV heads of {}{}",
        shape.batch,
        shape.context,
        shape.rows(),
        shape.budget,
        world.problem.rules.m,
        shape.layers,
        shape.target.query_heads,
        shape.target.kv_heads,
        shape.target.head_dim,
        if shape.caches < shape.layers {
            format!(", which take {} caches in turn", shape.caches)
        } else {
            String::new()
        },
    );
}

fn print_findings(findings: &[Findings]) {
    println!(
        "\nsequence   needles: target's    draft's   attention mass of the set: target's map   draft's map"
    );
    for (sequence, found) in findings.iter().enumerate() {
        let needles = found.needles.map(|(selected, all)| format!("{selected} of {all}"));
        let mass = [0, 1].map(|which| format!("{:.5} = {:.5}", found.mass[which], found.sum[which]));
        println!("{sequence:>8} {:>20} {:>10} {:>41} {:>19}", needles[0], needles[1], mass[0], mass[1]);
    }
    println!("every needle was selected; each mass, in f64, is the map's sum over the set within 1e-4");
}

fn print_times(world: &World, device: &mut impl Device) -> anyhow::Result<()> {
    let layers = f64::from(world.shape.layers);
    println!();
    let mut line = |name: &str, parts: &[Part]| -> anyhow::Result<f64> {
        // A step leaves other queries behind, without needles: maps have peaks only with the prompt's.
        device.run(&[Part::CapturePrompt])?;
        let us = device.time(parts)?;
        let layered = matches!(parts, [Part::Layers(_)]);
        let each = if layered { format!("{:>10.2} a layer", us / layers) } else { String::new() };
        println!("{name:<52} {us:>12.1} us{each}");
        Ok(us)
    };
    line("target's map", &[Part::TargetMap])?;
    line("draft's map, its queries' captures included", &[Part::DraftMap])?;
    line("both maps", &[Part::BothMaps])?;
    line("selection", &[Part::Select])?;
    line("layers: append alone", &[Part::Layers(Reads::Nothing)])?;
    line("layers: append, attention over the sets", &[Part::Layers(Reads::Sets)])?;
    line("acceptance", &[Part::Accept])?;
    line("compaction", &[Part::Compact])?;
    line("capture of the last accepted rows", &[Part::Capture])?;
    // So that each of several steps has the prompt's.
    let step = [&[Part::CapturePrompt], &STEP[..]].concat();
    line("the whole step, behind a prompt's capture", &step)?;
    let sparse = line("maps, selection, layers", &ATTENTION)?;
    // Last: on a GPU it draws so much power that the clock is lowered, for longer than it takes itself.
    let full = line("layers: append, attention over the whole cache", &[Part::Layers(Reads::Everything)])?;
    println!("maps, selection and layers against layers over the whole cache: {:.2}x", full / sparse);
    Ok(())
}

#[cfg(test)]
mod tests;
