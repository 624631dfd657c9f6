//! Which heads are planted, and which only look as if they were.

use std::collections::HashMap;

use dustin::profile::LayerHeads;
use rand::{RngExt, seq::SliceRandom};

use super::{ModelShape, Placement, SyntheticPlan};
use crate::calibration::ModelRole;

/// What is known of a model's heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlantedHeads {
    /// The heads that find what matters.
    pub planted: Vec<LayerHeads>,
    /// Those that do on some of the searched prompts only.
    pub decoys: Vec<LayerHeads>,
}

/// What each head kept is, `[layers][query heads]`.
pub(super) struct Roles(Vec<Role>);

#[derive(Clone)]
enum Role {
    Planted,
    /// On these searched prompts it is as planted.
    Decoy(Vec<bool>),
    Ordinary,
}

/// Shares out the roles of a model's heads.
pub(super) fn choose(plan: &SyntheticPlan, model: ModelRole, shape: &ModelShape) -> Roles {
    let mut rng = plan.random(&[model as u32, 1]);
    let heads = shape.layers.len() * shape.geometry.query_heads as usize;
    let mut order: Vec<usize> = (0..heads).collect();
    order.shuffle(&mut rng);
    if let Placement::Together(together) = shape.placement {
        // Those that are planted come first: of a group as many as asked for, then of every other the first.
        let group = |head: usize| head / (shape.geometry.group() as usize).max(1);
        let mut taken = HashMap::new();
        let first = order.first().copied().map_or(0, group);
        order.sort_by_cached_key(|&head| {
            let before = taken.entry(group(head)).or_insert(0);
            *before += 1;
            match group(head) == first {
                true => {
                    if *before <= together {
                        0
                    } else {
                        2
                    }
                }
                false => {
                    if *before == 1 {
                        1
                    } else {
                        2
                    }
                }
            }
        });
    }
    let mut roles = vec![Role::Ordinary; heads];
    let (planted, rest) = order.split_at((shape.planted as usize).min(heads));
    for &head in planted {
        roles[head] = Role::Planted;
    }
    for &head in rest.iter().take(shape.decoys as usize) {
        // At least one, whatever the share: otherwise it is no decoy.
        let certain = rng.random_range(0..plan.searched);
        let good = |prompt| prompt == certain || rng.random_bool(plan.decoy_share);
        roles[head] = Role::Decoy((0..plan.searched).map(good).collect());
    }
    Roles(roles)
}

impl Roles {
    /// Whether head `index` of all that were kept attends to what matters in `prompt`.
    pub(super) fn finds(&self, index: usize, prompt: u32) -> bool {
        match &self.0[index] {
            Role::Planted => true,
            Role::Decoy(good) => good.get(prompt as usize).is_some_and(|&good| good),
            Role::Ordinary => false,
        }
    }

    /// The planted heads and the decoys by layer.
    pub(super) fn heads(&self, shape: &ModelShape) -> PlantedHeads {
        let by_layer = |wanted: fn(&Role) -> bool| {
            let of_layer = |(&layer, roles): (&u32, &[Role])| {
                let heads: Vec<u32> =
                    (0..).zip(roles).filter(|(_, it)| wanted(it)).map(|(head, _)| head).collect();
                (!heads.is_empty()).then_some(LayerHeads { layer, heads })
            };
            shape
                .layers
                .iter()
                .zip(self.0.chunks(shape.geometry.query_heads as usize))
                .filter_map(of_layer)
                .collect()
        };
        PlantedHeads {
            planted: by_layer(|role| matches!(role, Role::Planted)),
            decoys: by_layer(|role| matches!(role, Role::Decoy(_))),
        }
    }
}
