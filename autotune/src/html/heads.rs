//! One pair of models: the heads that score, what they cost and what they keep.

use dustin::profile::{Selection, SelectionProvenance};

use super::{
    chart::{Front, Layers, Positions, class},
    scale::short,
};
use crate::{
    heads::{Example, HeadsRecord, spell},
    table,
};

/// A pair.
pub(super) struct Pair {
    pub(super) anchor: String,
    pub(super) target: String,
    pub(super) draft: String,
    /// The heads in words.
    pub(super) heads: String,
    /// The selection itself.
    pub(super) selection: Selection,
    /// Its recovery in words, or that nobody knows it.
    pub(super) recovery: String,
    /// What estimation costs in microseconds, where that was measured.
    pub(super) estimation: Option<String>,
    /// Where it comes from, field by field.
    pub(super) facts: Vec<(&'static str, String)>,
    /// What the run found that chose it, where that is at hand.
    pub(super) run: Option<Run>,
}

/// What a run found.
pub(super) struct Run {
    pub(super) front: Option<Front>,
    /// What the search began with.
    pub(super) start: String,
    pub(super) methods: Vec<Row>,
    pub(super) layers: Option<Layers>,
    pub(super) example: Option<(String, Positions)>,
}

/// A method on the held-out prompts.
pub(super) struct Row {
    pub(super) name: String,
    /// Its colour, as a class of the page.
    pub(super) class: &'static str,
    pub(super) figures: [String; 6],
}

impl Pair {
    /// The pair of `selection`, with what `records` hold of the run that chose it.
    pub(super) fn new(selection: &Selection, records: &[HeadsRecord], index: usize) -> Self {
        let provenance = selection.provenance.as_ref();
        let cost = provenance.and_then(|provenance| provenance.cost.as_ref());
        Self {
            anchor: format!("heads-{index}"),
            target: selection.target_model.clone(),
            draft: selection.draft_model.clone(),
            heads: spell(&selection.target_heads, &selection.draft_heads),
            recovery: selection
                .recovery
                .map_or("uncalibrated".into(), |recovery| table::share(recovery.mean)),
            estimation: cost.map(|cost| table::microseconds(cost.estimation_us)),
            facts: provenance.map(|provenance| facts(selection, provenance)).unwrap_or_default(),
            run: records.iter().find(|record| record.is_of(selection)).map(Run::new),
            selection: selection.clone(),
        }
    }
}

impl Run {
    fn new(record: &HeadsRecord) -> Self {
        let judged = record.held_out.as_ref();
        let methods = judged.map(|judged| judged.methods.as_slice()).unwrap_or_default();
        let rows = methods.iter().map(|method| Row {
            name: method.name.clone(),
            class: class(&method.name),
            figures: method.figures(),
        });
        let example = judged.and_then(|judged| judged.example.as_ref());
        Self {
            front: Front::new(&record.searched, record.share),
            start: record.searched.start_name.clone(),
            methods: rows.collect(),
            layers: judged.and_then(Layers::new),
            example: example.and_then(|example| Some((caption(example), Positions::new(example)?))),
        }
    }
}

/// What the strip shows, in words.
fn caption(example: &Example) -> String {
    let Example { prompt, length, positions, needle, .. } = example;
    let within = |position: &&u32| needle.iter().any(|[from, to]| (from..to).contains(position));
    let tokens: u32 = needle.iter().map(|[from, to]| to.saturating_sub(*from)).sum();
    let found = positions.iter().filter(within).count();
    let needle = match tokens {
        0 => "no needle".to_owned(),
        _ => format!("{found} of the needle’s {tokens} tokens"),
    };
    format!("Prompt {prompt}, {length} confirmed tokens: {} selected, {needle}", positions.len())
}

fn facts(selection: &Selection, provenance: &SelectionProvenance) -> Vec<(&'static str, String)> {
    let SelectionProvenance { date, crate_version, target_ranking, draft_ranking, objective, held_out, cost } =
        provenance;
    let mut facts = vec![("chosen", date.clone()), ("version", crate_version.clone())];
    let mut add = |field, words: Option<String>| facts.extend(words.map(|words| (field, words)));
    add(
        "asked for",
        objective
            .map(|it| format!("a share of {} with {} confidence", short(it.share), short(it.confidence))),
    );
    add(
        "held out",
        held_out.map(|it| {
            format!(
                "{} prompts: a share of {}, at least {}",
                it.prompts,
                table::share(it.share),
                table::share(it.share_low)
            )
        }),
    );
    add(
        "timed",
        cost.as_ref()
            .map(|it| format!("{} sequences of {} tokens on {}", it.batch, it.context, it.device.name)),
    );
    add("target ranked by", target_ranking.clone());
    add("draft ranked by", draft_ranking.clone());
    add("capture", selection.calibration_digest.clone());
    facts
}
