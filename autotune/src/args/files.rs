//! Commands on profiles and journals, which need no device.

use std::path::PathBuf;

use clap::Args;

use super::ConsoleArgs;

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The profile.
    #[arg(value_name = "FILE")]
    pub(crate) profile: PathBuf,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The profile to compare with.
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,
    /// The profile that is compared.
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The profiles.
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    pub(crate) profiles: Vec<PathBuf>,
    /// Profile to write, which may be one of those to be merged; or a folder, which gets a profile for each device.
    #[arg(long, short, value_name = "FILE or FOLDER")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The profile.
    #[arg(value_name = "FILE")]
    pub(crate) profile: PathBuf,
    /// Journal of a search; may be given several times [default: those beside the profile].
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Vec<PathBuf>,
    /// Page to write [default: beside the profile, with its name].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Folder for the pages of all commands [default: this command's page on standard output].
    #[arg(long, short, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
}
