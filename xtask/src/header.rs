//! The command `header`: the C header, made of the source of the crate `dustin-c`.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::root;

/// Makes the header and writes it.
///
/// # Errors
/// The source cannot be read, or the file not written.
pub fn write() -> Result<()> {
    let (path, text) = (path(), make()?);
    fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Proves that the checked-in header is that of the source.
///
/// # Errors
/// It is not, or the source cannot be read.
pub fn check() -> Result<()> {
    let path = path();
    let found = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(found == make()?, "{} is not that of the source: run `cargo xtask header`", path.display());
    println!("{} is that of the source", path.display());
    Ok(())
}

fn path() -> PathBuf {
    root().join("capi/include/dustin.h")
}

fn make() -> Result<String> {
    let folder = root().join("capi");
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).map_err(anyhow::Error::msg)?;
    let bindings = cbindgen::Builder::new().with_src(folder.join("src/lib.rs")).with_config(config);
    let mut text = Vec::new();
    bindings.generate().context("cbindgen")?.write(&mut text);
    Ok(String::from_utf8(text)?)
}
