//! A small pair of models with random weights generates, from prompt to tokens, on the CPU: speculative decoding whose verification
//! reads chosen tokens of the cache, against decoding token by token.
//!
//! ```sh
//! cargo run --release -p dustin --example generate
//! ```
//!
//! Where the budget covers the context nothing is lost: greedily the tokens are the same, sampled their distribution is. With a smaller
//! budget the example says how many tokens are other than the whole context would give: many, since random weights have no heads that
//! retrieve.
//!
//! | file | what it holds |
//! |---|---|
//! | `model`, `rows`, `sampler` | a transformer without its attention, the rows of a forward, a draft's candidates |
//! | `runner` | a model with paged caches: appends and attention by the library |
//! | `pair`, `decode` | two models and their verifier; a step from maps to captures |
//! | `law`, `broken` | the test of sampled tokens, and acceptances that have to fail |

mod broken;
mod decode;
mod law;
mod model;
mod pair;
mod rows;
mod runner;
mod sampler;

use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use dustin::{Dtype, geometry::Geometry};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::{
    broken::{keeps_all, without_residual},
    decode::{Decoded, Judge, agreed, library, plain},
    law::law,
    model::Model,
    pair::{Options, Pair, alone},
    sampler::Sampler,
};

/// The pair that generates.
const MODEL: Geometry = Geometry {
    layers: 4,
    query_heads: 4,
    kv_heads: 2,
    head_dim: 64,
    hidden: 128,
    intermediate: 256,
    vocabulary: 256,
};

/// The pair whose tokens are counted: small, since it runs thousands of steps.
const COUNTED: Geometry = Geometry {
    layers: 2,
    query_heads: 2,
    kv_heads: 1,
    head_dim: 64,
    hidden: 64,
    intermediate: 64,
    vocabulary: 24,
};

/// Speculative decoding with sparse verification, by a small pair of models with random weights on the CPU.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 256)]
    prompt: usize,
    /// Tokens to generate.
    #[arg(long, default_value_t = 96)]
    tokens: usize,
    /// Draft tokens one behind the other.
    #[arg(long, default_value_t = 4)]
    gamma: u32,
    /// The smaller budget: confirmed tokens that verification reads.
    #[arg(long, default_value_t = 64)]
    budget: u32,
    /// Sampled continuations that are counted, at temperature 1.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1000..))]
    draws: u32,
    /// The caches' items: bf16 or f16.
    #[arg(long, default_value = "bf16", value_parser = dtype)]
    dtype: Dtype,
    /// What weights, prompt and draws follow from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn dtype(name: &str) -> Result<Dtype, String> {
    match name {
        "bf16" => Ok(Dtype::Bf16),
        "f16" => Ok(Dtype::F16),
        _ => Err("must be bf16 or f16".into()),
    }
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
    ensure!(args.prompt > 0, "--prompt must be at least 1");
    let generation = Generation::new(args);
    println!("agree: tokens that the whole context gives behind the same tokens");
    println!("{} tokens behind a prompt of {}, greedily", args.tokens, args.prompt);
    println!("token by token: {:?}", generation.plain(args)?);
    for tree in [false, true] {
        let drafts = if tree { "tree" } else { "chain" };
        let title = format!("a {drafts} of drafts, {} deep", args.gamma);
        println!("\n{title:<37} steps   tokens/step    accepted/step       read  same first      agree");
        let lossless = generation.decode(args, tree, None, library)?;
        print_decoded("budget above the context", &generation, args, &lossless)?;
        ensure!(lossless.tokens == generation.plain(args)?, "these are not the tokens of plain decoding");
        let sparse = generation.decode(args, tree, Some(args.budget), library)?;
        print_decoded(&format!("budget {}", args.budget), &generation, args, &sparse)?;
        let broken = generation.decode(args, tree, None, keeps_all)?;
        print_decoded("an acceptance that keeps every draft", &generation, args, &broken)?;
    }
    println!("\n{} sampled continuations against the target's own distribution", args.draws);
    for tree in [false, true] {
        for (name, judge, lossless) in [
            ("acceptance", library as Judge, true),
            ("acceptance without residuals", without_residual, false),
        ] {
            let name = format!("{}, {name}", if tree { "tree" } else { "chain" });
            let laws = counted(args, tree, judge)?;
            for (place, law) in ["first", "second"].into_iter().zip(laws) {
                let verdict = if law.holds() { "may be of it" } else { "is not of it" };
                println!(
                    "{name:<36} {place:<6} token: chi-square {:>8.1}, at most {:.1}: {verdict}",
                    law.statistic, law.bound
                );
            }
            let holds = laws.iter().all(law::ChiSquare::holds);
            ensure!(holds || !lossless, "sampled tokens are not distributed as the target's");
        }
    }
    Ok(())
}

/// What is generated from.
struct Generation {
    model: Model,
    prompt: Vec<i32>,
}

impl Generation {
    fn new(args: &Args) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(args.seed);
        let vocabulary = MODEL.vocabulary as i32;
        let prompt = (0..args.prompt).map(|_| random.random_range(0..vocabulary)).collect();
        Self { model: Model::random(MODEL, args.seed), prompt }
    }

    fn options(args: &Args, tree: bool, budget: Option<u32>) -> Options {
        // Behind the last token that is wanted there may stand a step's rows.
        let length = args.prompt + args.tokens + 2 * (pair::WIDTH * args.gamma as usize + 1);
        Options { dtype: args.dtype, gamma: args.gamma, tree, budget, length: length as u32, seed: args.seed }
    }

    fn plain(&self, args: &Args) -> anyhow::Result<Vec<i32>> {
        let mut runner = alone(self.model.clone(), &Self::options(args, false, None))?;
        plain(&mut runner, &self.prompt, args.tokens)
    }

    fn decode(&self, args: &Args, tree: bool, budget: Option<u32>, judge: Judge) -> anyhow::Result<Decoded> {
        let mut pair = Pair::new(&self.model, Self::options(args, tree, budget))?;
        pair.decode(&self.prompt, args.tokens, &mut Sampler::new(0.0, args.seed), judge)
    }
}

fn counted(args: &Args, tree: bool, judge: Judge) -> anyhow::Result<[law::ChiSquare; 2]> {
    let model = Model::random(COUNTED, args.seed);
    let prompt: Vec<i32> = (0..12).map(|token| token * 5 % COUNTED.vocabulary as i32).collect();
    let options = Options { dtype: args.dtype, gamma: 2, tree, budget: None, length: 32, seed: args.seed };
    law(&model, options, &prompt, 1.0, args.draws, judge)
}

fn print_decoded(name: &str, generation: &Generation, args: &Args, decoded: &Decoded) -> anyhow::Result<()> {
    let plain = generation.plain(args)?;
    let same = plain.iter().zip(&decoded.tokens).take_while(|(a, b)| a == b).count();
    let mut judge = alone(generation.model.clone(), &Generation::options(args, false, None))?;
    let agreed = agreed(&mut judge, &generation.prompt, &decoded.tokens)?;
    let steps = decoded.steps.max(1) as f64;
    println!(
        "{name:<37}{:>6}{:>14.2}{:>17.2}{:>9.1} %{same:>10}{:>12.1} %",
        decoded.steps,
        args.tokens as f64 / steps,
        decoded.accepted as f64 / steps,
        100.0 * decoded.read as f64 / decoded.confirmed.max(1) as f64,
        100.0 * agreed as f64 / decoded.tokens.len().max(1) as f64,
    );
    Ok(())
}

#[cfg(test)]
mod tests;
