//! `heads`: which heads and budgets should serve a pair of models, by a search on a capture or by a ranking alone.
//!
//! | file | what it holds |
//! |---|---|
//! | `inputs` | capture, rankings and prompts, checked before anything is computed |
//! | `search` | the search, and the choice judged on held-out prompts |
//! | `import` | heads of a ranking that nobody judges |
//! | `tell` | tables |

mod import;
mod inputs;
mod search;
mod tell;

use std::path::PathBuf;

use dustin::profile::Profile;

use crate::{
    book,
    console::Stop,
    device::Device,
    outcome::Exit,
    resolve::{HeadsRequest, Origin},
};

/// Finds heads and budgets and puts them into the profile.
pub(crate) fn heads(request: &HeadsRequest, stop: &Stop) -> anyhow::Result<Exit> {
    match &request.origin {
        Origin::Search(search) => search::search(request, search, stop),
        Origin::Import(import) => import::import(request, import),
    }
}

/// Where the selection goes, and what is there already.
///
/// # Errors
/// The file is no profile, or another device's; its folder cannot be written.
fn destination(request: &HeadsRequest, device: &Device) -> anyhow::Result<(PathBuf, Option<Profile>)> {
    let path = request.output.clone().unwrap_or_else(|| book::default_path(device.id()));
    let known = book::expect_selection(&path, Some(device.id()), request.console)?;
    Ok((path, known))
}
