//! What `heads` is given: checked before anything is computed.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use dustin_heads::{
    Capture,
    calibration::{ModelRole, PromptRole},
    ranking::HeadRanking,
    search::{Rankings, SearchSpace},
};

use crate::{
    console::Console,
    resolve::{Budgets, HeadsRequest, ModelFiles},
};

/// The least budget that the default space is made for; smaller ones take their figures from it.
const LEAST: u32 = 64;

/// The fewest prompts that give bounds.
const PROMPTS: usize = 2;

/// Opens the capture, and refuses one of other models than those whose `config.json` is given.
pub(super) fn capture(path: &Path, models: &[ModelFiles; 2]) -> anyhow::Result<Capture> {
    let capture = Capture::open(path)?;
    for (role, ModelFiles { config, .. }) in ModelRole::ALL.into_iter().zip(models) {
        if let Some(config) = config {
            let text = fs::read(config).with_context(|| format!("cannot read {}", config.display()))?;
            capture.require_config(role, &config.display().to_string(), &text)?;
        }
    }
    Ok(capture)
}

/// The prompts of `role` that have a step of `gamma` draft tokens.
///
/// # Errors
/// They are too few for bounds.
pub(super) fn prompts(
    capture: &Capture,
    role: PromptRole,
    gamma: u32,
    console: Console,
) -> anyhow::Result<Vec<u32>> {
    let mut found = capture.require_prompts(role)?;
    found.retain(|&prompt| match capture.require_steps(prompt, gamma) {
        Ok(()) => true,
        Err(error) => {
            console.note(&format!("warning: a prompt is left out: {error}"));
            false
        }
    });
    if found.len() < PROMPTS {
        bail!(
            "capture {}: must have at least {PROMPTS} {role} prompts with a step of {gamma} draft tokens, as bounds are drawn over \
             prompts, but has {}; capture more, or ask for a smaller --gamma",
            capture.name(),
            found.len()
        );
    }
    Ok(found)
}

/// What the heads of both models are ranked by, and that in words: the files that are given, or else the capture's own scores.
pub(super) fn rankings(
    capture: &Capture,
    request: &HeadsRequest,
) -> anyhow::Result<(Rankings, [Option<String>; 2])> {
    let own = Rankings::of_capture(capture)?;
    let method = capture.metadata().ranking.as_ref().map(|ranking| ranking.method.clone());
    let of = |role: ModelRole, own: Option<HeadRanking>| match &request.models[role as usize].ranking {
        Some(path) => {
            Ok((Some(HeadRanking::read(path, capture.model(role)?.geometry)?), Some(file_name(path))))
        }
        None => {
            let words = own.is_some().then(|| method.clone()).flatten();
            Ok::<_, anyhow::Error>((own, words))
        }
    };
    let (target, of_target) = of(ModelRole::Target, own.target)?;
    let (draft, of_draft) = of(ModelRole::Draft, own.draft)?;
    Ok((Rankings { target, draft }, [of_target, of_draft]))
}

/// The name of a file without its folders, which are the business of nobody who gets the profile.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The space of `budgets` over all heads of the capture.
///
/// # Errors
/// A budget is beyond the library's most.
pub(super) fn space(capture: &Capture, budgets: &Budgets) -> anyhow::Result<SearchSpace> {
    let [smallest, largest] = [budgets.k.first(), budgets.k.last()].map(|k| k.copied().unwrap_or(0));
    let mut space = SearchSpace::of_capture(capture, largest.max(LEAST))?;
    space.budgets = budgets.k.clone();
    space.pooling = budgets.pooling.clone();
    space.sinks = budgets.sinks.clone();
    space.recent = if budgets.recent.is_empty() { vec![smallest / 16] } else { budgets.recent.clone() };
    if !budgets.quota.is_empty() {
        space.quotas = budgets.quota.clone();
    } else if space.draft.is_some() {
        space.quotas = budgets
            .k
            .iter()
            .flat_map(|&k| (0..=16_u64).map(move |part| (u64::from(k) * part / 16) as u32))
            .collect();
        space.quotas.sort_unstable();
        space.quotas.dedup();
    }
    Ok(space)
}
