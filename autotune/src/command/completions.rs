//! `completions`: what a shell needs to complete the command.

use clap::CommandFactory as _;

use crate::{
    args::{Cli, CompletionsArgs},
    console,
    outcome::Exit,
};

/// Prints the shell's script.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "autotune", &mut script);
    console::put(&script)?;
    Ok(Exit::Done)
}
