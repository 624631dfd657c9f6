//! The `autotune` command: parse, resolve, run, exit.

mod args;
mod book;
mod command;
mod console;
mod device;
mod invariance;
mod journal;
mod lock;
mod outcome;
mod replay;
mod report;
mod resolve;
mod search;
mod table;
mod task;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Cli, Command},
    console::Stop,
    outcome::Exit,
    resolve::{AuditRequest, TuneRequest, VerifyRequest},
};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(error) => outcome::report(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Plan(args) | Command::Tune(args) if args.workloads.list_workloads => {
            command::list_workloads(&args)
        }
        Command::Plan(args) => command::plan(&TuneRequest::resolve(args)?),
        Command::Tune(args) => command::tune(&TuneRequest::resolve(args)?, &Stop::listen()?),
        Command::Audit(args) => command::audit(&AuditRequest::resolve(args), &Stop::listen()?),
        Command::Worker => worker::serve(),
        Command::Replay(args) => command::replay(&args),
        Command::Show(args) => command::show(&args),
        Command::Verify(args) => command::verify(&VerifyRequest::resolve(args), &Stop::listen()?),
    }
}
