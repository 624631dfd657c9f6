//! `man`: manual pages.

use std::fs;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::{
    args::{Cli, ManArgs},
    console,
    outcome::Exit,
};

/// Prints the manual page, or writes those of all commands into a folder.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    match &args.output {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            console::put(&page)?;
        }
        Some(folder) => {
            let of = || format!("cannot write manual pages to {}; choose another --output", folder.display());
            fs::create_dir_all(folder).with_context(of)?;
            clap_mangen::generate_to(Cli::command(), folder).with_context(of)?;
        }
    }
    Ok(Exit::Done)
}
