//! A layer of Qwen2.5-72B made up so that heads of one group find what the ranking's heads find, which lie in four.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use dustin::geometry;
use dustin_heads::synthetic::{ModelShape, Placement, Synthetic, SyntheticPlan};
use serde_json::Value;

const MODEL: &str = "Qwen2.5-72B";
const LAYER: u32 = 40;

/// What is asked of `heads`, the step that is timed excepted: all that is worth its time, beginning with the ranking's four heads.
pub(crate) const FRONT: [&str; 12] = [
    "heads",
    "capture.safetensors",
    "--target-ranking=head_score.json",
    "--start=ranking",
    "--front",
    "--budget-k=32",
    "--sinks=4",
    "--recent=8",
    "--pooling=1",
    "--gamma=3",
    "--json",
    "--quiet",
];

/// Writes the capture and the ranking into `folder`. Six planted heads read one KV head, four others one each; every fifth head is a
/// decoy. The ranking's scores know of no groups: best are the planted heads that lie apart.
pub(crate) fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    let geometry = geometry::preset(MODEL).ok_or("the model is not known")?;
    let target = ModelShape {
        geometry,
        layers: vec![LAYER],
        planted: 10,
        placement: Placement::Together(6),
        decoys: 13,
    };
    let plan = SyntheticPlan {
        seed: 0,
        target,
        draft: None,
        searched: 12,
        held_out: 12,
        prompt_tokens: 512,
        continuation: 52,
        decoy_share: 0.6,
    };
    fs::write(folder.join("capture.safetensors"), plan.to_bytes()?)?;
    let known = Synthetic::new(&plan)?.target;
    let (planted, decoys) = (&known.planted[0].heads, &known.decoys[0].heads);
    let group = geometry.group();
    let score = |layer: u32, head: u32| {
        let mates = planted.iter().filter(|&planted| planted / group == head / group).count();
        match () {
            () if layer != LAYER => 0.0,
            () if planted.contains(&head) && mates == 1 => 0.9,
            () if planted.contains(&head) => 0.8,
            () if decoys.contains(&head) => 0.7,
            () => 0.1,
        }
    };
    let all = (0..geometry.layers).flat_map(|layer| (0..geometry.query_heads).map(move |head| (layer, head)));
    let scores: BTreeMap<String, [f64; 1]> =
        all.map(|(layer, head)| (format!("{layer}-{head}"), [score(layer, head)])).collect();
    fs::write(folder.join("head_score.json"), serde_json::to_string(&scores)?)?;
    Ok(())
}

/// Whether something on the front of `report` keeps no less than the ranking's heads in at most half of their measured time; its
/// figures and theirs.
pub(crate) fn halves(report: &Value) -> (bool, String) {
    let searched = &report["searched"];
    let figure = |point: &Value, field: &str| point[field].as_f64().unwrap_or(f64::NAN);
    let start = &searched["start"];
    let no_worse = |point: &&Value| {
        ["share", "share_low"].iter().all(|field| figure(point, field) >= figure(start, field))
            && figure(point, "estimation_us") <= figure(start, "estimation_us") / 2.0
    };
    let found = searched["front"].as_array().into_iter().flatten().find(no_worse);
    (found.is_some(), format!("the ranking’s heads: {start}; instead: {found:?}"))
}
