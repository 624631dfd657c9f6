//! Queries and keys of one layer of one prompt, so that logits are as the scene has them.
//!
//! The first items of a head are features: a key has 1 where its token has the feature, a query what a token with it is to gain. The last
//! ones are noise.

use half::bf16;
use rand::{Rng, RngExt};

use super::{
    ModelShape, SyntheticPlan,
    roles::Roles,
    scene::{DISTRACTIONS, Kind, TOPICS, saliency},
};
use crate::calibration::ModelRole;

/// Pairs of items that turn with the position, as in rotary embeddings.
const TURNS: usize = 8;

const SINK: usize = 0;
const NEAR: usize = SINK + 1;
const TOPIC: usize = NEAR + 2 * TURNS;
const DISTRACTION: usize = TOPIC + TOPICS;
const NOISE: usize = DISTRACTION + DISTRACTIONS;

/// What logits gain in a context of 512 tokens; in longer ones they gain the logarithm of the tokens besides, or all would be lost in the
/// background.
const SINK_GAIN: f32 = 5.0;
const NEAR_GAIN: f32 = 4.0;
const PLANTED_GAIN: f32 = 5.5;
const ORDINARY_GAIN: f32 = 2.0;
const DISTRACTION_GAIN: f32 = 3.5;
const NOISE_GAIN: f32 = 1.0;

/// Where in a capture something is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) model: ModelRole,
    pub(super) prompt: u32,
    /// The layer's place among those kept.
    pub(super) layer: usize,
}

/// Keys of all positions, `[kv_heads, positions, head_dim]`.
pub(super) fn keys(plan: &SyntheticPlan, shape: &ModelShape, place: Place, kinds: &[Kind]) -> Vec<bf16> {
    let mut rng = plan.random(&[3, place.model as u32, place.prompt, place.layer as u32]);
    let dim = shape.geometry.head_dim as usize;
    let mut keys = vec![bf16::ZERO; shape.geometry.kv_heads as usize * kinds.len() * dim];
    for (row, key) in keys.chunks_mut(dim).enumerate() {
        let position = row % kinds.len();
        match kinds[position] {
            Kind::Sink => key[SINK] = bf16::ONE,
            Kind::Topic(topic) => key[TOPIC + topic] = bf16::ONE,
            Kind::Distraction(distraction) => key[DISTRACTION + distraction] = bf16::ONE,
            Kind::Plain => {}
        }
        turn(position, kinds.len(), 1.0, &mut key[NEAR..TOPIC]);
        for item in &mut key[NOISE..] {
            *item = bf16::from_f32(normal(&mut rng));
        }
    }
    keys
}

/// Queries of the positions from `first` on, `[heads, positions - first, head_dim]`.
pub(super) fn queries(
    plan: &SyntheticPlan,
    shape: &ModelShape,
    place: Place,
    roles: &Roles,
    [first, positions]: [u32; 2],
) -> Vec<bf16> {
    let mut rng = plan.random(&[4, place.model as u32, place.prompt, place.layer as u32]);
    let (dim, heads) = (shape.geometry.head_dim as usize, shape.geometry.query_heads as usize);
    let rows = (positions - first) as usize;
    // Logits are products times 1 / √dim.
    let unit = (dim as f32).sqrt();
    let longer = (positions as f32 / 512.0).ln().max(0.0);
    let noise = NOISE_GAIN / ((dim - NOISE) as f32).sqrt();
    let mut queries = vec![bf16::ZERO; heads * rows * dim];
    for (head, queries) in queries.chunks_mut(rows * dim).enumerate() {
        let index = place.layer * heads + head;
        let finds = roles.finds(index, place.prompt);
        let topic_gain = if finds { PLANTED_GAIN } else { ORDINARY_GAIN } + longer;
        for (position, query) in (first..).zip(queries.chunks_mut(dim)) {
            query[SINK] = bf16::from_f32((SINK_GAIN + longer) * unit);
            turn(
                position as usize,
                positions as usize,
                (NEAR_GAIN + longer) * unit / TURNS as f32,
                &mut query[NEAR..TOPIC],
            );
            for (item, saliency) in query[TOPIC..].iter_mut().zip(saliency(plan, position)) {
                *item = bf16::from_f32(topic_gain * saliency * unit);
            }
            if !finds {
                // A distraction is gone with the next token, so that it says nothing of the step to come.
                let own = rng.random_range(0..DISTRACTIONS);
                query[DISTRACTION + own] = bf16::from_f32((DISTRACTION_GAIN + longer) * unit);
            }
            for item in &mut query[NOISE..] {
                *item = bf16::from_f32(normal(&mut rng) * noise * unit);
            }
        }
    }
    queries
}

/// `length` times unit vectors that turn with the position, from once in 8 positions to once in all of them: products fall with the distance.
fn turn(position: usize, positions: usize, length: f32, items: &mut [bf16]) {
    let ratio = (positions as f64 / 8.0).powf(1.0 / (TURNS - 1) as f64);
    for (index, pair) in items.chunks_exact_mut(2).enumerate() {
        let period = 8.0 * ratio.powi(index as i32);
        let (sin, cos) = (std::f64::consts::TAU * position as f64 / period).sin_cos();
        pair[0] = bf16::from_f32(length * cos as f32);
        pair[1] = bf16::from_f32(length * sin as f32);
    }
}

/// A normally distributed number, by the method of Box and Muller.
fn normal(rng: &mut impl Rng) -> f32 {
    // 1 - x lies in (0, 1].
    let (radius, angle): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
    (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
}
