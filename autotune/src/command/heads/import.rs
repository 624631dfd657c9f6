//! Heads of a ranking that nobody judges.

use anyhow::{Context as _, bail};
use dustin::{
    geometry::{Geometry, preset, read_config},
    profile::{LayerHeads, Selection, SelectionProvenance},
    select::problem::MAX_BUDGET,
};
use dustin_heads::ranking::HeadRanking;
use serde::Serialize;

use super::{destination, inputs};
use crate::{
    book,
    command::devices::find,
    device,
    heads::spell,
    outcome::Exit,
    resolve::{HeadsRequest, Import, ModelFiles},
};

#[derive(Serialize)]
struct Report<'a> {
    profile: String,
    calibrated: bool,
    selection: &'a Selection,
}

/// Puts the best heads of some layers into the profile, as a selection that nobody has judged.
pub(super) fn import(request: &HeadsRequest, import: &Import) -> anyhow::Result<Exit> {
    let console = request.console;
    let [target, draft] = [0, 1].map(|role| best(&request.models[role], &import.layers[role], import.heads));
    let ((target_heads, target_ranking), (draft_heads, draft_ranking)) = (target?, draft?);
    let budgets = &request.budgets;
    let k = budgets.k.first().copied().unwrap_or(0);
    if k > MAX_BUDGET {
        bail!("--budget-k must be at most {MAX_BUDGET}, but is {k}");
    }
    let half = if draft_heads.is_empty() { 0 } else { k / 2 };
    let m = budgets.quota.first().copied().unwrap_or(half);
    if m > 0 && draft_heads.is_empty() {
        bail!("--quota {m} is to come from the draft's map, but no --draft-layers are given");
    }
    let selection = Selection {
        target_model: request.models[0].name.clone().unwrap_or_default(),
        draft_model: request.models[1].name.clone().unwrap_or_else(|| "none".into()),
        target_heads,
        draft_heads,
        k,
        m,
        sinks: budgets.sinks.first().copied().unwrap_or(0),
        recent: budgets.recent.first().copied().unwrap_or(k / 16),
        // The greatest: a ranking's heads are judged with pooling where they were published.
        pooling: budgets.pooling.last().copied().unwrap_or(1),
        recovery: None,
        calibration_digest: None,
        provenance: Some(SelectionProvenance {
            date: device::now(),
            crate_version: env!("CARGO_PKG_VERSION").into(),
            target_ranking,
            draft_ranking,
            objective: None,
            held_out: None,
            cost: None,
        }),
    };
    selection.validate()?;
    // Nothing is measured: a device is needed only to begin a profile.
    let path = match request.output.as_ref().filter(|path| path.exists()) {
        Some(path) => {
            let Some(known) = book::expect_selection(path, None, console)? else {
                bail!("{}: it has just been removed", path.display());
            };
            book::put_selection(path, &known.provenance, selection.clone(), |_| Ok(()))?;
            path.clone()
        }
        None => {
            let (_, device) = find(request.device, console)?;
            let (path, _) = destination(request, &device)?;
            book::put_selection(&path, device.provenance(), selection.clone(), |_| Ok(()))?;
            path
        }
    };
    console.print(&format!(
        "uncalibrated selection of {} with {} put into {}: {}, k {}, m {}",
        selection.target_model,
        selection.draft_model,
        path.display(),
        spell(&selection.target_heads, &selection.draft_heads),
        selection.k,
        selection.m
    ))?;
    console.print_json(&Report {
        profile: path.display().to_string(),
        calibrated: false,
        selection: &selection,
    })?;
    Ok(Exit::Done)
}

/// The best heads of `layers` by a model's ranking, and what ranked them.
///
/// # Errors
/// The model's geometry is not known, the ranking is not of it, or it does not have these layers.
fn best(model: &ModelFiles, layers: &[u32], count: u32) -> anyhow::Result<(Vec<LayerHeads>, Option<String>)> {
    let (Some(path), Some(name)) = (&model.ranking, &model.name) else { return Ok((Vec::new(), None)) };
    let geometry = geometry(model, name)?;
    let ranking = HeadRanking::read(path, geometry)?;
    if let Some(layer) = layers.iter().find(|&&layer| layer >= geometry.layers) {
        bail!("layers must be below {}, those of {name}, but one is {layer}", geometry.layers);
    }
    if count > geometry.query_heads {
        bail!("--heads must be at most {}, those of a layer of {name}, but is {count}", geometry.query_heads);
    }
    Ok((ranking.best_of(layers, count as usize), Some(inputs::file_name(path))))
}

/// The geometry of a model by its `config.json`, or of a built-in one by its name.
fn geometry(model: &ModelFiles, name: &str) -> anyhow::Result<Geometry> {
    match &model.config {
        Some(config) => Ok(read_config(config)?),
        // Checkpoints tuned to instructions have the shape of their base.
        None => preset(name.trim_end_matches("-Instruct"))
            .with_context(|| format!("the shape of {name} is not known here: name its config.json")),
    }
}
