//! Tokens that captured queries attend to far more than to all others.

use dustin::{
    Dtype,
    element::{decode, encode},
    kv::PagedKv,
};
use rand::{SeedableRng, seq::index};
use rand_pcg::Pcg64Mcg;

use super::world::{Sequence, World, vector};

/// How far a needle's logit is above the greatest of the background, at the least.
pub const MARGIN: f64 = 6.0;

/// The positions of a sequence's needles, ascending.
#[derive(Clone, Debug, Default)]
pub struct Needles {
    /// For the target's captured heads.
    pub target: Vec<i32>,
    /// For the draft's.
    pub draft: Vec<i32>,
}

/// A captured query and what it reads.
struct Reader<'a> {
    query: Vec<f64>,
    kv: PagedKv,
    kv_head: u32,
    scale: f64,
    dtype: Dtype,
    table: &'a [i32],
}

impl Reader<'_> {
    fn logit(&self, key: &[u16]) -> f64 {
        let product: f64 =
            self.query.iter().zip(key).map(|(q, &k)| q * f64::from(decode(self.dtype, k))).sum();
        self.scale * product
    }

    fn logit_at(&self, position: u32, keys: &mut [u16]) -> f64 {
        self.logit(vector(&self.kv, self.table, position, self.kv_head, keys))
    }

    /// Turns the tokens at `needles` into needles. The background are the sequence's `length` tokens but for `all` needles.
    fn plant(&self, needles: &[u32], all: &[u32], length: u32, keys: &mut [u16]) {
        let others = (0..length).filter(|position| !all.contains(position));
        let greatest = others.map(|position| self.logit_at(position, keys)).fold(f64::MIN, f64::max);
        let norm: f64 = self.query.iter().map(|q| q * q).sum();
        let factor = (greatest + MARGIN + 0.5) / (self.scale * norm);
        let needle: Vec<u16> = self.query.iter().map(|q| encode(self.dtype, (factor * q) as f32)).collect();
        assert!(self.logit(&needle) >= greatest + MARGIN, "rounding takes half a unit");
        for &position in needles {
            vector(&self.kv, self.table, position, self.kv_head, keys).copy_from_slice(&needle);
        }
    }
}

impl World {
    /// Plants `each` needles for every captured target query of `sequence`, and one for every captured draft query, all at
    /// positions of their own.
    ///
    /// # Panics
    /// The sequence is shorter than that, or has no captured target query.
    pub fn plant(&mut self, sequence: usize, each: usize, seed: u64) -> Needles {
        let own = self.sequences[sequence].clone();
        let of_target = each * self.stages.target_captured.heads() as usize;
        let draft = &self.stages.draft_captured;
        let of_draft = (draft.heads() * draft.tokens) as usize;
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let drawn = index::sample(&mut rng, own.length as usize, of_target + of_draft);
        let drawn: Vec<u32> = drawn.into_iter().map(|position| position as u32).collect();
        let (target, draft) = drawn.split_at(of_target);
        self.plant_target(&own, target, each);
        self.plant_draft(&own, sequence, draft);
        let ascending = |positions: &[u32]| {
            let mut positions: Vec<i32> = positions.iter().map(|&position| position as i32).collect();
            positions.sort_unstable();
            positions
        };
        Needles { target: ascending(target), draft: ascending(draft) }
    }

    fn plant_target(&mut self, own: &Sequence, needles: &[u32], each: usize) {
        let (captured, model) = (&self.stages.target_captured, self.problem.target);
        let group = model.share.local().group();
        let slot = usize::try_from(own.slot).expect("a captured query");
        let mut shares = needles.chunks(each);
        for layer in &captured.layers {
            for (index, &head) in (layer.first..).zip(&layer.heads) {
                let at = slot * captured.slot_stride() as usize + (index * captured.head_dim) as usize;
                let reader = Reader {
                    query: halves(model.dtype, &self.target_queries[at..][..captured.head_dim as usize]),
                    kv: model.kv,
                    kv_head: head / group,
                    scale: model.scale.into(),
                    dtype: model.dtype,
                    table: &own.target_table,
                };
                let own_needles = shares.next().expect("as many as queries");
                reader.plant(own_needles, needles, own.length, &mut self.target[layer.layer as usize].key);
            }
        }
    }

    fn plant_draft(&mut self, own: &Sequence, slot: usize, needles: &[u32]) {
        let captured = &self.stages.draft_captured;
        let model = self.problem.draft.expect("a draft model").model;
        let group = model.share.local().group();
        let mut shares = needles.chunks(1);
        for layer in &captured.layers {
            for (index, &head) in (layer.first..).zip(&layer.heads) {
                for token in 0..captured.tokens {
                    let at = slot * captured.slot_stride() as usize
                        + token as usize * captured.token_stride() as usize
                        + (index * captured.head_dim) as usize;
                    let reader = Reader {
                        query: halves(model.dtype, &self.draft_queries[at..][..captured.head_dim as usize]),
                        kv: model.kv,
                        kv_head: head / group,
                        scale: model.scale.into(),
                        dtype: model.dtype,
                        table: &own.draft_table,
                    };
                    let own_needles = shares.next().expect("as many as queries");
                    let keys = &mut self.draft_keys[layer.layer as usize];
                    reader.plant(own_needles, needles, own.length, keys);
                }
            }
        }
    }
}

fn halves(dtype: Dtype, bits: &[u16]) -> Vec<f64> {
    bits.iter().map(|&bits| decode(dtype, bits).into()).collect()
}
