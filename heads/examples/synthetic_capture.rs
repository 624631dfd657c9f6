//! A capture made up from a seed, for trying `autotune heads` without models: attention with sinks, locality and noise, in which some heads
//! find what matters, and decoys that do so on some of the searched prompts only. It says which they are.
//!
//! ```sh
//! cargo run --release -p dustin-heads --example synthetic_capture -- capture.safetensors
//! cargo run --release -p dustin-autotune -- heads capture.safetensors --budget-k 64 --recent 8 --share 0.95 -o tried.toml
//! ```

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use dustin::{geometry::preset, profile::LayerHeads};
use dustin_heads::synthetic::{ModelShape, Placement, PlantedHeads, Synthetic, SyntheticPlan};

/// Writes a capture made up from a seed.
#[derive(Debug, Parser)]
struct Args {
    /// The file.
    output: PathBuf,
    /// The target, by the name of a built-in model.
    #[arg(long, default_value = "Qwen2.5-72B")]
    target: String,
    /// The draft, likewise.
    #[arg(long)]
    draft: Option<String>,
    /// Layers of each model that are kept, the first ones.
    #[arg(long, default_value_t = 1)]
    layers: u32,
    /// Heads of each model that find what matters.
    #[arg(long, default_value_t = 6)]
    planted: u32,
    /// How many of them read one KV head; each of the others then reads one of its own. Without it they lie anywhere.
    #[arg(long)]
    together: Option<u32>,
    /// Heads that only look as if they did.
    #[arg(long, default_value_t = 13)]
    decoys: u32,
    /// Prompts to choose by.
    #[arg(long, default_value_t = 16)]
    searched: u32,
    /// Prompts to judge by.
    #[arg(long, default_value_t = 8)]
    held_out: u32,
    /// Tokens of each prompt.
    #[arg(long, default_value_t = 512)]
    prompt_tokens: u32,
    /// Where random numbers begin.
    #[arg(long, default_value_t = 0)]
    seed: u64,
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
    let shape = |name: &str| {
        let geometry = preset(name).with_context(|| format!("{name} is no built-in model"))?;
        Ok::<_, anyhow::Error>(ModelShape {
            geometry,
            layers: (0..args.layers.min(geometry.layers)).collect(),
            planted: args.planted,
            placement: args.together.map_or(Placement::Anywhere, Placement::Together),
            decoys: args.decoys,
        })
    };
    let plan = SyntheticPlan {
        seed: args.seed,
        target: shape(&args.target)?,
        draft: args.draft.as_deref().map(shape).transpose()?,
        searched: args.searched,
        held_out: args.held_out,
        prompt_tokens: args.prompt_tokens,
        continuation: 52,
        decoy_share: 0.6,
    };
    fs::write(&args.output, plan.to_bytes()?)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    let Synthetic { target, draft, .. } = Synthetic::new(&plan)?;
    for (model, known) in [("target", Some(target)), ("draft", draft)] {
        let Some(PlantedHeads { planted, decoys }) = known else { continue };
        println!("{model}: planted {}; decoys {}", spelt(&planted), spelt(&decoys));
    }
    Ok(())
}

fn spelt(layers: &[LayerHeads]) -> String {
    let of = |it: &LayerHeads| {
        let heads: Vec<String> = it.heads.iter().map(ToString::to_string).collect();
        format!("{}: {}", it.layer, heads.join(" "))
    };
    layers.iter().map(of).collect::<Vec<_>>().join(", ")
}
