//! A candidate as the search changes it: sets of heads, and figures.

use std::collections::{BTreeMap, BTreeSet};

use dustin::{profile::LayerHeads, verifier::Rules};

use super::SearchSpace;
use crate::calibration::ModelRole;

/// A query head by the whole model's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Head {
    pub(super) layer: u32,
    pub(super) head: u32,
}

/// The budget and what else decides besides heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Figures {
    pub(super) k: u32,
    pub(super) m: u32,
    pub(super) sinks: u32,
    pub(super) recent: u32,
    pub(super) pooling: u32,
}

/// Heads of a map that is not read are kept, as another quota may read it again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) target: BTreeSet<Head>,
    pub(super) draft: BTreeSet<Head>,
    pub(super) figures: Figures,
}

impl Figures {
    /// Those of `rules`, whatever their heads.
    pub(super) const fn of(rules: &Rules) -> Self {
        let Rules { k, m, sinks, recent, pooling, .. } = *rules;
        Self { k, m, sinks, recent, pooling }
    }

    /// Rules without heads.
    pub(super) fn rules(self) -> Rules {
        let Self { k, m, sinks, recent, pooling } = self;
        Rules { m, sinks, recent, pooling, ..Rules::by_target(Vec::new(), k) }
    }
}

impl Point {
    /// A point without heads.
    pub(super) const fn new(figures: Figures) -> Self {
        Self { target: BTreeSet::new(), draft: BTreeSet::new(), figures }
    }

    pub(super) fn of(rules: &Rules) -> Self {
        let heads = |layers: &[LayerHeads]| {
            let heads =
                layers.iter().flat_map(|it| it.heads.iter().map(|&head| Head { layer: it.layer, head }));
            heads.collect()
        };
        Self {
            target: heads(&rules.target_heads),
            draft: heads(&rules.draft_heads),
            figures: Figures::of(rules),
        }
    }

    pub(super) const fn heads(&self, role: ModelRole) -> &BTreeSet<Head> {
        match role {
            ModelRole::Target => &self.target,
            ModelRole::Draft => &self.draft,
        }
    }

    pub(super) const fn heads_mut(&mut self, role: ModelRole) -> &mut BTreeSet<Head> {
        match role {
            ModelRole::Target => &mut self.target,
            ModelRole::Draft => &mut self.draft,
        }
    }

    /// Whether the map of the model in `role` decides anything.
    pub(super) fn reads(&self, role: ModelRole) -> bool {
        let rules = self.figures.rules();
        match role {
            ModelRole::Target => rules.reads_target(),
            ModelRole::Draft => rules.reads_draft(),
        }
    }

    /// The same without heads that are not read.
    pub(super) fn as_read(&self) -> Self {
        let mut point = self.clone();
        for role in ModelRole::ALL {
            if !point.reads(role) {
                point.heads_mut(role).clear();
            }
        }
        point
    }

    /// As a verifier takes it.
    pub(super) fn rules(&self) -> Rules {
        let read = self.as_read();
        Rules {
            target_heads: by_layer(&read.target),
            draft_heads: by_layer(&read.draft),
            ..self.figures.rules()
        }
    }

    /// Whether it is a candidate: what is read has heads, and all is within `space`.
    pub(super) fn is_within(&self, space: &SearchSpace) -> bool {
        let Figures { k, m, sinks, recent, pooling } = self.figures;
        let listed = [
            (&space.budgets, k),
            (&space.quotas, m),
            (&space.sinks, sinks),
            (&space.recent, recent),
            (&space.pooling, pooling),
        ];
        let heads = |role| {
            let heads = self.heads(role);
            !self.reads(role) || (!heads.is_empty() && fits(heads, space, role))
        };
        m <= k
            && listed.into_iter().all(|(list, figure)| list.binary_search(&figure).is_ok())
            && ModelRole::ALL.into_iter().all(heads)
    }
}

/// Whether `heads` exceed no limit of the space's layers and heads.
pub(super) fn fits(heads: &BTreeSet<Head>, space: &SearchSpace, role: ModelRole) -> bool {
    let Some(limits) = space.heads(role) else { return heads.is_empty() };
    let mut layers = BTreeMap::new();
    for head in heads {
        *layers.entry(head.layer).or_insert(0) += 1;
    }
    layers.len() <= limits.most_layers as usize
        && layers
            .iter()
            .all(|(layer, &count)| limits.layers.binary_search(layer).is_ok() && count <= limits.most_heads)
}

fn by_layer(heads: &BTreeSet<Head>) -> Vec<LayerHeads> {
    let heads: Vec<Head> = heads.iter().copied().collect();
    let layers = heads.chunk_by(|a, b| a.layer == b.layer);
    layers
        .map(|it| LayerHeads { layer: it[0].layer, heads: it.iter().map(|head| head.head).collect() })
        .collect()
}
