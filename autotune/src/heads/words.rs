//! Head subsets in words.

use dustin::profile::LayerHeads;

/// The heads of both models: `14: 3 17 | draft 12: 0 9, 13: 4`.
pub(crate) fn spell(target: &[LayerHeads], draft: &[LayerHeads]) -> String {
    match (target.is_empty(), draft.is_empty()) {
        (true, true) => "none".into(),
        (false, true) => of_model(target),
        (true, false) => format!("draft {}", of_model(draft)),
        (false, false) => format!("{} | draft {}", of_model(target), of_model(draft)),
    }
}

fn of_model(layers: &[LayerHeads]) -> String {
    let numbers = |heads: &[u32]| heads.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let of_layer = |own: &LayerHeads| format!("{}: {}", own.layer, numbers(&own.heads));
    layers.iter().map(of_layer).collect::<Vec<_>>().join(", ")
}
