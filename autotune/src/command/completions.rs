//! `completions`: what a shell needs to complete the command.

use clap::{Command, CommandFactory as _};

use crate::{
    args::{Cli, CompletionsArgs},
    console,
    outcome::Exit,
};

/// Prints the shell's script.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let whole = Cli::command();
    // Hidden commands are for this program itself, but the scripts would offer them.
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = Command::new("autotune").version(env!("CARGO_PKG_VERSION")).subcommands(shown);
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "autotune", &mut script);
    console::put(&script)?;
    Ok(Exit::Done)
}
