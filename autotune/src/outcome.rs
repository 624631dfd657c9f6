//! How a command ends: exit codes, and the error that means bad usage.

use std::process::ExitCode;

/// How a command ended, if nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// `verify` found an entry that is stale, wrong or slower.
    Unverified,
    /// The user stopped it; what was found is kept.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Unverified => Self::from(3),
            Exit::Interrupted => Self::from(130),
        }
    }
}

/// The command line asks for something impossible: exit code 2, as for one that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Says what failed, in one sentence, and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
