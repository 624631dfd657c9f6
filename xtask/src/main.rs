//! `cargo xtask`: developer commands.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use xtask::{bundle, header, ptx, ptxas};

/// Developer commands.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile the kernels to PTX, check it, and write kernels-gpu/ptx
    Ptx {
        /// Prove that the checked-in PTX belongs to the source; write nothing
        #[arg(long)]
        check: bool,
        /// Compile only the entries whose name contains this text, into target/ptx; write nothing else
        #[arg(long, value_name = "TEXT", conflicts_with = "check")]
        only: Option<String>,
    },
    /// Make the C header of the C ABI's source
    Header {
        /// Prove that the checked-in header is that of the source; write nothing
        #[arg(long)]
        check: bool,
    },
    /// Install NVIDIA's PTX assembler into target/nvcc, with pip
    Ptxas,
    /// Pack tests, benches and autotune for a machine that has a GPU driver and nothing else
    Bundle {
        /// The folder to write; a bundle that lies there is replaced
        #[arg(long, default_value = ".bundle", value_name = "DIR")]
        out: PathBuf,
        /// Pack no more than this folder of it, and the profiles
        #[arg(long, value_name = "FOLDER")]
        only: Option<String>,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("error: {}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Ptx { check: true, .. } => ptx::check(),
        Command::Ptx { only: Some(text), .. } => ptx::preview(&text),
        Command::Ptx { .. } => ptx::write(),
        Command::Header { check: true } => header::check(),
        Command::Header { .. } => header::write(),
        Command::Ptxas => ptxas::install().map(|ptxas| println!("{}", ptxas.path().display())),
        Command::Bundle { out, only } => bundle::pack(&out, only.as_deref()),
    }
}
