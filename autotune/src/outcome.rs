//! How a command ends: exit codes, and the error that means bad usage.

use std::process::ExitCode;

use dustin_autotune::workload::Impossible;

use crate::lock::LockError;

/// How a command ended, if nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// `verify` found an entry that is stale, wrong, slower, unreadable or too large to check.
    Unverified,
    /// `diff` found a difference.
    Different,
    /// The user stopped it; what was found is kept.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Unverified | Exit::Different => Self::from(3),
            Exit::Interrupted => Self::from(130),
        }
    }
}

/// The command line asks for something impossible: exit code 2, as for one that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

impl From<Impossible> for Usage {
    fn from(error: Impossible) -> Self {
        Self(error.to_string())
    }
}

/// Says what failed, in one sentence, and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", sentence(error));
    match error.downcast_ref() {
        Some(LockError::Interrupted { .. }) => Exit::Interrupted.into(),
        _ if error.is::<Usage>() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

/// The error and its causes, each once: some errors name their cause in their own words already.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(cause).context("cannot read x (disk on fire)").context("show");
        assert_eq!(sentence(&error), "show: cannot read x (disk on fire)");
        let error = anyhow::Error::new(Usage("no".into())).context("tune");
        assert_eq!(sentence(&error), "tune: no");
    }
}
