//! Running other programs, with errors that show what they said.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs `command` to its end and returns its standard output and standard error.
///
/// # Errors
/// The program cannot be started, or ends with a failure; the error holds the command and its standard error.
pub fn output(command: &mut Command) -> Result<(String, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{name} cannot be started"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("{name} failed ({}): {command:?}\n{}", output.status, stderr.trim_end());
    }
    Ok((stdout, stderr))
}
