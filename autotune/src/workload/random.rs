//! Workloads drawn at random, as different engines might ask for them.

use dustin::{
    Dtype,
    attention::problem::Mask,
    geometry::{self, Geometry},
    kv::KvLayout,
};
use rand::{Rng, RngExt, seq::IndexedRandom};

use super::{AttentionShape, CacheShape, ScoreShape, SelectShape, Shape, Workload};

/// How large the workloads may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Sequences.
    pub batch: u32,
    /// Confirmed tokens of a sequence; at least 256.
    pub context: u32,
    /// Bytes of all caches that are read.
    pub cache_bytes: u64,
}

impl Bounds {
    /// What engines ask of GPUs.
    pub const GPU: Self = Self { batch: 64, context: 131_072, cache_bytes: 4 << 30 };
    /// What a CPU computes in milliseconds.
    pub const CPU: Self = Self { batch: 4, context: 4_096, cache_bytes: 64 << 20 };
}

/// A workload within `bounds`, of any kernel: half of them attention, a quarter scoring, a quarter selection.
pub fn random(rng: &mut impl Rng, bounds: Bounds) -> Workload {
    loop {
        let shape: Shape = match rng.random_range(0..4_u32) {
            0 => score(rng, bounds).into(),
            1 => select(rng, bounds).into(),
            _ => attention(rng, bounds).into(),
        };
        // A few combinations cannot be: heads that ranks cannot share, caches that are too large.
        let held = match shape {
            Shape::Attention(AttentionShape { cache, .. }) => held(cache),
            Shape::Score(ScoreShape { cache, layers, .. }) => {
                held(cache).map(|bytes| bytes * u64::from(layers))
            }
            Shape::Select(_) => Some(0),
        };
        if held.is_none_or(|bytes| bytes > bounds.cache_bytes) {
            continue;
        }
        if let Ok(mut workload) = Workload::new("drawn".into(), shape) {
            workload.name = workload.describe();
            return workload;
        }
    }
}

/// Bytes of the keys and values of a rank.
fn held(cache: CacheShape) -> Option<u64> {
    let Geometry { kv_heads, head_dim, .. } = geometry::preset(cache.model)?.local(cache.tp)?;
    Some(4 * u64::from(cache.batch) * u64::from(cache.context) * u64::from(kv_heads * head_dim))
}

fn attention(rng: &mut impl Rng, bounds: Bounds) -> AttentionShape {
    let cache = cache(rng, bounds);
    let tree = rng.random_bool(0.2);
    let rows = if tree { one_of(rng, &[8, 16, 32, 64]) } else { rng.random_range(1..=9) };
    let whole = rng.random_bool(0.2);
    AttentionShape {
        cache,
        rows,
        k: (!whole).then(|| logarithmic(rng, 32, 4_096).min(cache.context)),
        mask: if tree { Mask::Tree } else { Mask::Causal },
        lse: rng.random_bool(0.2),
        batch_invariant: false,
    }
}

fn score(rng: &mut impl Rng, bounds: Bounds) -> ScoreShape {
    let cache = cache(rng, bounds);
    ScoreShape {
        cache,
        layers: rng.random_range(1..=4),
        heads: one_of(rng, &[1, 2, 4, 4, 4, 8]),
        kv_heads_read: one_of(rng, &[1, 2, 4]),
        tokens: rng.random_range(1..=5),
    }
}

fn select(rng: &mut impl Rng, bounds: Bounds) -> SelectShape {
    let (batch, context) = (logarithmic(rng, 1, bounds.batch), logarithmic(rng, 256, bounds.context));
    let k = logarithmic(rng, 32, 4_096).min(context);
    SelectShape { batch, context, k, quota: if rng.random_bool(0.5) { k / 4 } else { 0 } }
}

fn cache(rng: &mut impl Rng, bounds: Bounds) -> CacheShape {
    CacheShape {
        model: geometry::PRESETS.choose(rng).map_or("Qwen2.5-72B", |(name, _)| name),
        batch: logarithmic(rng, 1, bounds.batch),
        context: logarithmic(rng, 256, bounds.context),
        page_size: one_of(rng, &[16, 16, 16, 32, 64]),
        layout: one_of(rng, &[KvLayout::Nhd, KvLayout::Nhd, KvLayout::Hnd]),
        dtype: one_of(rng, &[Dtype::Bf16, Dtype::Bf16, Dtype::F16]),
        tp: one_of(rng, &[1, 1, 2, 4, 8]),
    }
}

fn one_of<T: Copy>(rng: &mut impl Rng, values: &[T]) -> T {
    values[rng.random_range(0..values.len())]
}

/// From `least` to `most`, as often below their geometric mean as above it.
fn logarithmic(rng: &mut impl Rng, least: u32, most: u32) -> u32 {
    let exponent = rng.random_range(f64::from(least).ln()..=f64::from(most).ln());
    (exponent.exp().round() as u32).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use dustin::profile::KernelKey;
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    use super::*;
    use crate::workload::Problem;

    #[test]
    fn what_is_drawn_is_valid_varied_within_bounds_and_follows_from_the_seed() {
        for bounds in [Bounds::GPU, Bounds::CPU] {
            let draw = |seed| {
                let mut rng = Pcg64Mcg::seed_from_u64(seed);
                (0..200).map(|_| random(&mut rng, bounds)).collect::<Vec<Workload>>()
            };
            let drawn = draw(1);
            assert_eq!(drawn, draw(1));
            assert_ne!(drawn, draw(2));
            let keys: HashSet<KernelKey> = drawn.iter().map(|one| KernelKey::from(&one.problem)).collect();
            assert!(keys.len() > 100, "{} buckets of 200", keys.len());
            for workload in &drawn {
                assert_eq!(workload.problem.validate(), Ok(()), "{}", workload.name);
                assert!(workload.context() <= bounds.context, "{}", workload.name);
            }
            let attention = |one: &&Workload| matches!(one.problem, Problem::Attention(_));
            assert!((60..140).contains(&drawn.iter().filter(attention).count()));
        }
    }
}
