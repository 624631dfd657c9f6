//! What is known of heads before any are combined: the ranking, and what each recovers alone.

use std::{cmp::Ordering, collections::BTreeSet};

use super::{
    Rankings, ScreenedHead, SearchRequest, Start,
    evaluate::{Evaluator, Halt, Number},
    point::{Figures, Head, Point, fits},
    pool::{Member, Pool},
    reliability::reliabilities,
};
use crate::{
    calibration::{Capture, ModelRole},
    fidelity::FidelityError,
};

/// Heads that the paper's recipe takes of a layer.
pub(super) const RECIPE_HEADS: u32 = 4;

/// A head that may be chosen.
#[derive(Clone, Copy, Debug)]
struct Seed {
    head: Head,
    /// The KV head that it reads.
    kv_head: u32,
    /// Its place in its layer's ranking, or among the captured heads.
    place: usize,
    /// Its score in the ranking.
    ranked: Option<f64>,
    /// The lower bound of the share that it keeps alone.
    alone: Option<f64>,
    /// As what it was judged alone.
    number: Option<Number>,
}

/// The heads of both models that may be chosen.
#[derive(Debug)]
pub(super) struct Seeds {
    target: Vec<Seed>,
    draft: Vec<Seed>,
    is_ranked: [bool; 2],
}

/// Layers that the paper's recipe takes of a model.
const fn recipe_layers(role: ModelRole) -> u32 {
    match role {
        ModelRole::Target => 1,
        ModelRole::Draft => 3,
    }
}

impl Seeds {
    /// The candidates of the request's space.
    pub(super) fn new(
        capture: &Capture,
        request: &SearchRequest,
        rankings: &Rankings,
    ) -> Result<Self, FidelityError> {
        let of = |role| -> Result<Vec<Seed>, FidelityError> {
            let Some(space) = request.space.heads(role).filter(|_| request.space.is_searched(role)) else {
                return Ok(Vec::new());
            };
            let model = capture.model(role)?;
            let mut seeds = Vec::new();
            for &layer in &space.layers {
                let ranking = rankings.of(role);
                let order = ranking.map_or(&model.heads[..], |ranking| ranking.of_layer(layer));
                let captured = order.iter().filter(|head| model.heads.binary_search(head).is_ok());
                seeds.extend(captured.take(space.candidates as usize).enumerate().map(|(place, &head)| {
                    Seed {
                        head: Head { layer, head },
                        kv_head: model.kv_head_of(head),
                        place,
                        ranked: ranking.and_then(|ranking| ranking.score(layer, head)),
                        alone: None,
                        number: None,
                    }
                }));
            }
            Ok(seeds)
        };
        let is_ranked = [&rankings.target, &rankings.draft].map(Option::is_some);
        Ok(Self { target: of(ModelRole::Target)?, draft: of(ModelRole::Draft)?, is_ranked })
    }

    /// Of a model, all that may be chosen.
    fn of(&self, role: ModelRole) -> &[Seed] {
        match role {
            ModelRole::Target => &self.target,
            ModelRole::Draft => &self.draft,
        }
    }

    fn of_mut(&mut self, role: ModelRole) -> &mut Vec<Seed> {
        match role {
            ModelRole::Target => &mut self.target,
            ModelRole::Draft => &mut self.draft,
        }
    }

    /// Looks at heads alone, the ranking's best first, with at most half of the evaluations. What is known
    /// stays if it is interrupted.
    pub(super) fn screen(&mut self, evaluator: &mut Evaluator<'_, '_>) -> Result<(), Halt> {
        let reference = Figures::of(evaluator.reference());
        let mut turns: Vec<(ModelRole, usize)> = Vec::new();
        for role in ModelRole::ALL {
            self.of_mut(role).sort_by(before);
            turns.extend((0..self.of(role).len()).map(|index| (role, index)));
        }
        turns.sort_by_key(|&(_, index)| index);
        for (role, index) in turns.into_iter().take(evaluator.request.evaluations as usize / 2) {
            let m = if role == ModelRole::Draft { reference.k } else { 0 };
            let mut point = Point::new(Figures { m, ..reference });
            point.heads_mut(role).insert(self.of(role)[index].head);
            let number = evaluator.evaluate(&point)?;
            let seed = &mut self.of_mut(role)[index];
            (seed.alone, seed.number) = (Some(evaluator.candidate(number).share_low), Some(number));
        }
        Ok(())
    }

    /// How heads did alone: those that were looked at, best first.
    pub(super) fn screened(&self, evaluator: &Evaluator<'_, '_>) -> Vec<ScreenedHead> {
        let mut all = Vec::new();
        for role in ModelRole::ALL {
            let mut seeds: Vec<&Seed> = self.of(role).iter().filter(|seed| seed.number.is_some()).collect();
            seeds.sort_by(|a, b| by_score(a.alone, b.alone).then(a.head.cmp(&b.head)));
            let rates =
                seeds.iter().filter_map(|seed| Some(evaluator.candidate(seed.number?).recovery.by_prompt()));
            let rates: Vec<Vec<f64>> = rates.collect();
            let reliabilities = reliabilities(&rates, evaluator.request.bound.confidence);
            all.extend(seeds.iter().zip(reliabilities).map(|(seed, reliability)| ScreenedHead {
                model: role,
                layer: seed.head.layer,
                head: seed.head.head,
                share_low: seed.alone.unwrap_or(0.0),
                reliability,
            }));
        }
        all
    }

    /// The heads that are as reliable as the request wants, of each model all where none is; nothing if it
    /// wants none to be.
    pub(super) fn reliable(&self, evaluator: &Evaluator<'_, '_>) -> Option<Pool> {
        let least = evaluator.request.reliability?;
        let screened = self.screened(evaluator);
        let is_reliable = |role, seed: &Seed| {
            screened.iter().any(|it| {
                it.reliability >= least
                    && (it.model, it.layer, it.head) == (role, seed.head.layer, seed.head.head)
            })
        };
        let members = ModelRole::ALL.map(|role| {
            let reliable = self.members(role, |seed| is_reliable(role, seed));
            if reliable.is_empty() { self.members(role, |_| true) } else { reliable }
        });
        Some(Pool::new(members))
    }

    /// All heads.
    pub(super) fn all(&self) -> Pool {
        Pool::new(ModelRole::ALL.map(|role| self.members(role, |_| true)))
    }

    /// Best alone first.
    fn members(&self, role: ModelRole, keep: impl Fn(&Seed) -> bool) -> Vec<Member> {
        let mut seeds: Vec<&Seed> = self.of(role).iter().filter(|seed| keep(seed)).collect();
        seeds.sort_by(|a, b| by_score(a.alone, b.alone).then_with(|| before(a, b)));
        seeds.into_iter().map(|seed| Member { head: seed.head, kv_head: seed.kv_head }).collect()
    }

    /// What the search begins with.
    pub(super) fn start(&self, request: &SearchRequest, reference: Figures) -> Point {
        if let Start::Rules(rules) = &request.start {
            return Point::of(rules);
        }
        let room = reference.k / 2;
        let quotas = request.space.quotas.iter().copied().filter(|&quota| quota <= reference.k);
        let m = quotas.min_by_key(|quota| quota.abs_diff(room)).unwrap_or(0);
        let mut point = Point::new(Figures { m, ..reference });
        for role in ModelRole::ALL {
            *point.heads_mut(role) = match request.start {
                Start::Ranking => self.best(request, role),
                Start::Recipe | Start::Rules(_) => self.recipe(request, role),
            };
        }
        point
    }

    /// As many heads as the recipe's, the best of all layers.
    fn best(&self, request: &SearchRequest, role: ModelRole) -> BTreeSet<Head> {
        let mut seeds = self.of(role).to_vec();
        seeds.sort_by(before);
        let most = (recipe_layers(role) * RECIPE_HEADS) as usize;
        let mut heads = BTreeSet::new();
        for seed in seeds {
            heads.insert(seed.head);
            if heads.len() > most || !fits(&heads, &request.space, role) {
                heads.remove(&seed.head);
            }
        }
        heads
    }

    /// The recipe's heads: of the layers whose best heads are best.
    fn recipe(&self, request: &SearchRequest, role: ModelRole) -> BTreeSet<Head> {
        let Some(space) = request.space.heads(role) else { return BTreeSet::new() };
        let (layers, heads) =
            (recipe_layers(role).min(space.most_layers), RECIPE_HEADS.min(space.most_heads));
        let mut best: Vec<(f64, Vec<Head>)> = Vec::new();
        for &layer in &space.layers {
            let mut seeds: Vec<Seed> =
                self.of(role).iter().copied().filter(|it| it.head.layer == layer).collect();
            // A ranking's order stands, whatever heads recover alone.
            let is_ranked = self.is_ranked[role as usize];
            seeds.sort_by(|a, b| if is_ranked { a.place.cmp(&b.place) } else { before(a, b) });
            seeds.truncate(heads as usize);
            let value = |seed: &Seed| seed.ranked.or(seed.alone).unwrap_or(0.0);
            best.push((seeds.iter().map(value).sum(), seeds.iter().map(|seed| seed.head).collect()));
        }
        best.sort_by(|a, b| b.0.total_cmp(&a.0));
        best.into_iter().take(layers as usize).flat_map(|(_, heads)| heads).collect()
    }
}

/// Better heads first: by the ranking's scores, or by its places and what heads recover alone, equals by
/// their number.
fn before(a: &Seed, b: &Seed) -> Ordering {
    let places = || a.place.cmp(&b.place);
    by_score(a.ranked, b.ranked)
        .then_with(|| by_score(a.alone, b.alone))
        .then_with(places)
        .then(a.head.cmp(&b.head))
}

/// Greater scores first, unknown ones last.
fn by_score(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}
