//! A small transformer with random weights: RMSNorm, grouped-query attention with rotary embedding, SwiGLU. Attention itself is not
//! here: the library computes it over paged caches ([`runner`](crate::runner)).

use dustin::geometry::Geometry;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

const EPSILON: f32 = 1e-6;
const ROTARY_BASE: f32 = 10_000.0;

/// How much the later half of the layers adds to what the first half has: so much that the draft, which is the first half, errs.
const LATER: f32 = 0.6;

/// A matrix `[inputs, outputs]`.
#[derive(Clone, Debug)]
struct Matrix {
    items: Vec<f32>,
    outputs: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Layer {
    query: Matrix,
    key: Matrix,
    value: Matrix,
    output: Matrix,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// Weights.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) geometry: Geometry,
    embedding: Matrix,
    pub(crate) layers: Vec<Layer>,
    head: Matrix,
}

/// What attention is given of one row: `[heads, head_dim]` each, queries and keys rotated.
pub(crate) struct Projected {
    pub(crate) query: Vec<f32>,
    pub(crate) key: Vec<f32>,
    pub(crate) value: Vec<f32>,
}

impl Model {
    /// Random weights that follow from `seed`.
    pub(crate) fn random(geometry: Geometry, seed: u64) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let [hidden, vocabulary, intermediate] =
            [geometry.hidden, geometry.vocabulary, geometry.intermediate].map(|size| size as usize);
        let [queries, keys] =
            [geometry.query_heads, geometry.kv_heads].map(|heads| (heads * geometry.head_dim) as usize);
        let mut matrix = |inputs, outputs, gain: f32| Matrix::random(&mut random, inputs, outputs, gain);
        let embedding = matrix(vocabulary, hidden, (vocabulary as f32).sqrt());
        let layer = |layer: u32| {
            let share = if 2 * layer < geometry.layers { 1.0 } else { LATER };
            Layer {
                // Queries with a gain let attention have peaks.
                query: matrix(hidden, queries, 4.0),
                key: matrix(hidden, keys, 1.0),
                value: matrix(hidden, keys, 1.0),
                output: matrix(queries, hidden, share),
                gate: matrix(hidden, intermediate, 1.0),
                up: matrix(hidden, intermediate, 1.0),
                down: matrix(intermediate, hidden, share),
            }
        };
        let layers = (0..geometry.layers).map(layer).collect();
        let head = Matrix::random(&mut random, hidden, vocabulary, 2.0);
        Self { geometry, embedding, layers, head }
    }

    /// The first half of the layers with the same embedding and head: a draft that agrees in part.
    pub(crate) fn first_half(&self) -> Self {
        let layers = self.geometry.layers.div_ceil(2);
        Self {
            geometry: Geometry { layers, ..self.geometry },
            layers: self.layers[..layers as usize].to_vec(),
            ..self.clone()
        }
    }

    /// What enters the first layer for `token`.
    pub(crate) fn embed(&self, token: i32) -> Vec<f32> {
        self.embedding.row(token as usize).to_vec()
    }

    /// The logits of what leaves the last layer.
    pub(crate) fn logits(&self, state: &[f32]) -> Vec<f32> {
        self.head.times(&normalised(state))
    }
}

impl Layer {
    /// What attention is given of the row `state` at `position`.
    pub(crate) fn project(&self, state: &[f32], position: usize, head_dim: usize) -> Projected {
        let input = normalised(state);
        let mut projected = Projected {
            query: self.query.times(&input),
            key: self.key.times(&input),
            value: self.value.times(&input),
        };
        for items in [&mut projected.query, &mut projected.key] {
            items.chunks_mut(head_dim).for_each(|head| rotate(head, position));
        }
        projected
    }

    /// Adds to `state` what attention has given, and what the feed-forward network makes of the sum.
    pub(crate) fn finish(&self, state: &mut [f32], attended: &[f32]) {
        add(state, &self.output.times(attended));
        let input = normalised(state);
        let silu = |x: f32| x / (1.0 + (-x).exp());
        let gated: Vec<f32> = self
            .gate
            .times(&input)
            .iter()
            .zip(self.up.times(&input))
            .map(|(&gate, up)| silu(gate) * up)
            .collect();
        add(state, &self.down.times(&gated));
    }
}

impl Matrix {
    /// Items such that inputs of variance 1 give outputs of variance `gain`².
    fn random(random: &mut Pcg64Mcg, inputs: usize, outputs: usize, gain: f32) -> Self {
        let bound = gain * (3.0 / inputs as f32).sqrt();
        Self { items: (0..inputs * outputs).map(|_| random.random_range(-bound..bound)).collect(), outputs }
    }

    fn row(&self, input: usize) -> &[f32] {
        &self.items[input * self.outputs..][..self.outputs]
    }

    /// The product with a vector, input by input: what the other rows of a step are changes no bit of it.
    fn times(&self, vector: &[f32]) -> Vec<f32> {
        let mut product = vec![0.0; self.outputs];
        for (input, &x) in vector.iter().enumerate() {
            product.iter_mut().zip(self.row(input)).for_each(|(sum, weight)| *sum += x * weight);
        }
        product
    }
}

/// RMSNorm with weights of 1.
fn normalised(state: &[f32]) -> Vec<f32> {
    let mean: f32 = state.iter().map(|x| x * x).sum::<f32>() / state.len() as f32;
    let factor = (mean + EPSILON).sqrt().recip();
    state.iter().map(|x| x * factor).collect()
}

/// Rotary embedding: item `i` of the head's first half turns with that of the second.
fn rotate(head: &mut [f32], position: usize) {
    let half = head.len() / 2;
    let (first, second) = head.split_at_mut(half);
    for (index, (x, y)) in first.iter_mut().zip(second).enumerate() {
        let angle = position as f32 * ROTARY_BASE.powf(-(index as f32) / half as f32);
        let (sin, cos) = angle.sin_cos();
        (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
    }
}

fn add(state: &mut [f32], more: &[f32]) {
    state.iter_mut().zip(more).for_each(|(x, y)| *x += y);
}
