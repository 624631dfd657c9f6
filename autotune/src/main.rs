//! The `autotune` command: parse, resolve, run, exit.

mod args;
mod atomic;
mod book;
mod command;
mod console;
mod device;
mod heads;
mod html;
mod invariance;
mod journal;
mod lock;
mod outcome;
mod profiles;
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
    args::{Cli, Command, ExplainArgs, TuneArgs},
    console::Stop,
    outcome::Exit,
    resolve::{AuditRequest, ExplainRequest, HeadsRequest, TuneRequest, VerifyRequest},
};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(error) => outcome::report(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Plan(TuneArgs { workloads, console, .. })
        | Command::Tune(TuneArgs { workloads, console, .. })
        | Command::Explain(ExplainArgs { workloads, console, .. })
            if workloads.list_workloads =>
        {
            command::list_workloads(&console)
        }
        Command::Plan(args) => command::plan(&TuneRequest::resolve(args)?),
        Command::Tune(args) => command::tune(&TuneRequest::resolve(args)?, &Stop::listen()?),
        Command::Audit(args) => command::audit(&AuditRequest::resolve(args), &Stop::listen()?),
        Command::Explain(args) => command::explain(&ExplainRequest::resolve(args)?),
        Command::Heads(args) => command::heads(&HeadsRequest::resolve(*args)?, &Stop::listen()?),
        Command::Diff(args) => command::diff(&args),
        Command::Merge(args) => command::merge(&args),
        Command::Gpus(args) => command::gpus(&args),
        Command::Report(args) => command::report(&args),
        Command::Replay(args) => command::replay(&args),
        Command::Completions(args) => command::completions(&args),
        Command::Man(args) => command::man(&args),
        Command::Worker => worker::serve(),
        Command::Show(args) => command::show(&args),
        Command::Verify(args) => command::verify(&VerifyRequest::resolve(args), &Stop::listen()?),
    }
}
