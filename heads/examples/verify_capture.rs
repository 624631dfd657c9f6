//! The last link of the chain from a model to its verifier: the selection that `autotune heads` put into a profile serves the first
//! step of each held-out prompt of a capture, with nothing else said.
//!
//! ```sh
//! cargo run --release -p dustin-heads --example verify_capture -- calibration/ --profile profiles/nvidia-h200.toml
//! ```

use std::{path::PathBuf, process::ExitCode, thread};

use anyhow::Context as _;
use clap::Parser;
use dustin::{
    cpu::{self, CpuBackend},
    profile::{self, CpuCatalogue, DeviceId, Tuned},
    verifier::Rules,
};
use dustin_heads::{Capture, calibration::PromptRole, verify::verify_step};

/// Runs the verifier of a profile's selection on a capture, on the CPU.
#[derive(Debug, Parser)]
struct Args {
    /// The capture.
    capture: PathBuf,
    /// The profile that holds a selection for its models.
    #[arg(long, short)]
    profile: PathBuf,
    /// Draft tokens of a step.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=63))]
    gamma: u32,
}

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
    let capture = Capture::open(&args.capture)?;
    let profile::Read { profile, warnings } = profile::read(&args.profile)?;
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let metadata = capture.metadata();
    let draft = metadata.draft.as_ref().map_or("none", |draft| &draft.name);
    let rules = Rules::of_profile(&profile, &metadata.target.name, draft).with_context(|| {
        format!("{} has no selection of {} with {draft}", args.profile.display(), metadata.target.name)
    })?;
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
    let catalogue = CpuCatalogue { limits: CpuBackend::new(threads)?.limits() };
    let tuned = Tuned::new(profile.entries, catalogue);
    let device = DeviceId::cpu(cpu::name());
    for (index, prompt) in capture.require_prompts(PromptRole::HeldOut)?.into_iter().enumerate() {
        let own = capture.prompt(prompt)?;
        let backend = CpuBackend::new(threads)?;
        let step = verify_step(&capture, (prompt, args.gamma), &rules, backend, (&tuned, &device))?;
        if index == 0 {
            println!("what serves each stage:\n{}\n", step.report);
        }
        let read = step.set.as_ref().map_or(step.length as usize, Vec::len);
        let in_needle = |position: &i32| {
            own.needle_spans.iter().any(|[from, to]| (*from..*to).contains(&position.cast_unsigned()))
        };
        let found = step.set.iter().flatten().filter(|position| in_needle(position)).count();
        let needle: u32 = own.needle_spans.iter().map(|[from, to]| to - from).sum();
        print!("{}: {read} of {} tokens read, {found} of the needle's {needle}", own.name, step.length);
        match step.output_errors {
            Some(errors) => {
                let mean = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
                println!("; outputs differ from those over all tokens by {:.1} %", 100.0 * mean);
            }
            None => println!(),
        }
    }
    Ok(())
}
