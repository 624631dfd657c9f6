//! Verification sets as a file, from which `dustin_capture.divergence` measures what they do to a model's output distribution
//! (`docs/calibration.md`).

use std::collections::HashMap;

use safetensors::{
    Dtype,
    tensor::{SafeTensorError, TensorView},
};
use serde::Serialize;

use super::{StepPlan, VerificationSets};
use crate::calibration::Capture;

/// The name of the metadata entry that makes a safetensors file one of verification sets.
pub const SETS_METADATA: &str = "dustin.sets";

/// The version of the layout.
const VERSION: u64 = 1;

/// In place of a set's size: all confirmed positions.
const EVERYTHING: i32 = -1;

#[derive(Serialize)]
struct Metadata<'a> {
    version: u64,
    name: &'a str,
    digest: String,
    gamma: u32,
    prompts: Vec<u32>,
}

/// The bytes of the file of `sets`, which are of `capture` and `plan` and are called `name`.
pub(super) fn bytes(
    capture: &Capture,
    plan: StepPlan,
    name: &str,
    sets: &VerificationSets,
) -> Result<Vec<u8>, SafeTensorError> {
    let mut tensors = Vec::new();
    for of_prompt in &sets.prompts {
        let each = || (0..of_prompt.lengths().len()).map(|step| of_prompt.positions(step));
        let sizes = each().map(|set| set.map_or(EVERYTHING, |set| set.len() as i32)).collect();
        let positions: Vec<i32> = each().flatten().flatten().copied().collect();
        for (what, numbers) in
            [("lengths", of_prompt.lengths().to_vec()), ("sizes", sizes), ("positions", positions)]
        {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            tensors.push((format!("prompts.{}.{what}", of_prompt.prompt()), numbers.len(), bytes));
        }
    }
    let views = tensors
        .iter()
        .map(|(name, count, bytes)| Ok((name, TensorView::new(Dtype::I32, vec![*count], bytes)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()?;
    let metadata = Metadata {
        version: VERSION,
        name,
        digest: capture.digest(),
        gamma: plan.gamma,
        prompts: sets.prompts.iter().map(|of_prompt| of_prompt.prompt()).collect(),
    };
    let text = serde_json::to_string(&metadata)?;
    safetensors::serialize(views, Some(HashMap::from([(SETS_METADATA.to_owned(), text)])))
}
