//! Whole verification steps on a GPU: the time of every stage, and how much faster self-attention is than over the whole cache.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use dustin::profile::{self, Entry};
use dustin_autotune::workload;
use dustin_benches::{
    Device,
    baseline::{Baseline, Baselines},
    gpu::Gpu,
    peers::Peers,
    step::{LAYERS, STEPS, Step, StepShape, StepTimes},
};

/// Times whole verification steps of Qwen2.5-72B, drafted by Qwen2.5-0.5B, stage by stage and in one graph.
#[derive(Debug, Parser)]
struct Arguments {
    /// Parts of the names of the steps wanted [default: all]
    names: Vec<String>,
    /// The profile whose choices are launched [default: those made without one]
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Times of peers on this device, as benches/peers has written them, in the place of the stored ones
    #[arg(long, value_name = "FILE")]
    peers: Option<PathBuf>,
    /// What cargo starts benchmarks with.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    // `cargo test --benches` starts benchmarks without this flag, and expects no measurement.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match steps(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn steps(arguments: &Arguments) -> anyhow::Result<()> {
    let Device::Gpu(gpu) = Device::open()? else {
        println!("whole steps are timed on GPUs alone: there is none");
        return Ok(());
    };
    let model = gpu.name();
    let baselines = match &arguments.peers {
        Some(path) => Baselines::Measured(Peers::read(path, &model)?),
        None => Baselines::Stored,
    };
    let entries = match &arguments.profile {
        None => Vec::new(),
        Some(path) => {
            let read = profile::read(path)?;
            read.warnings.iter().for_each(|warning| eprintln!("warning: {}: {warning}", path.display()));
            read.profile.entries
        }
    };
    println!("{model}\npeers: {}", baselines.source(&model));
    let wanted = |name: &str| {
        arguments.names.is_empty() || arguments.names.iter().any(|part| name.contains(part.as_str()))
    };
    for shape in STEPS.iter().filter(|shape| wanted(shape.name)) {
        let peer = baselines.of(&model, &workload::named(shape.full).context("a workload")?)?;
        report(&gpu, shape, entries.clone(), peer).with_context(|| shape.name)?;
    }
    Ok(())
}

fn report(gpu: &Gpu, shape: &StepShape, entries: Vec<Entry>, peer: Option<Baseline>) -> anyhow::Result<()> {
    let mut step = Step::new(gpu, shape, entries)?;
    println!("\n{}\n{}", shape.title(), step.report());
    let times = step.time()?;
    let layers = f64::from(LAYERS);
    let line = |name: &str, us: f64, note: String| println!("{name:<58} {us:>10.1} us  {note}");
    let each = |us: f64| format!("{:.2} a layer", us / layers);
    line("target's map", times.target_map, String::new());
    line("draft's map", times.draft_map, String::new());
    line("both maps on two streams", times.both_maps, String::new());
    line("selection", times.selection, String::new());
    line("layers: append, attention over the sets", times.sparse, each(times.sparse));
    line("layers: append, attention over the whole cache", times.full, each(times.full));
    line("layers: append alone", times.appends, each(times.appends));
    let mut dense = ("this project's".to_owned(), times.full);
    if let Some(Baseline { name, us }) = peer {
        // A peer's time has no launch that appends: it gets ours.
        let us = us * layers + times.appends;
        line(&format!("layers: append, attention of {name}"), us, each(us));
        if us < dense.1 {
            dense = (name, us);
        }
    }
    println!("speedup of self-attention over {} attention of the whole cache:", dense.0);
    for (name, us) in [
        ("step in one graph", times.step),
        ("... with both maps on two streams", times.step_beside),
        ("... with the target's map off the critical path", times.step_off),
    ] {
        line(name, us, speedups(us, dense.1, &times));
    }
    let estimation = times.target_map + times.draft_map + times.selection;
    println!("maps and selection: {:.2} % of the whole cache's time", 100.0 * estimation / dense.1);
    Ok(())
}

/// How much faster a step of `us` is, with what appends on both sides and on neither.
fn speedups(us: f64, dense: f64, times: &StepTimes) -> String {
    let without = (dense - times.appends) / (us - times.appends);
    format!("{:.2}x; {without:.2}x without what appends, on both sides", dense / us)
}
