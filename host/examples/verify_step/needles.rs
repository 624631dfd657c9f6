//! Needles: tokens that a captured query attends to far more than to all others, and how much attention a set gets.

use anyhow::ensure;
use dustin::{
    Dtype,
    element::{decode, encode},
    kv::PagedKv,
};
use rayon::prelude::*;

use crate::tile::Tile;

/// How far a needle's logit is above the greatest of the background, at the least.
const MARGIN: f64 = 6.0;

/// A captured query and what it reads.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// The layer of its model.
    pub layer: u32,
    /// The tile's array that is the layer's key cache.
    pub array: u32,
    pub sequence: u32,
    pub kv_head: u32,
    /// Its share of the map.
    pub weight: f64,
    pub query: Vec<f32>,
}

/// A key that stands in a cache in place of the tile's.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    pub layer: u32,
    pub sequence: u32,
    pub position: u32,
    pub kv_head: u32,
    /// Its first item in the layer's cache.
    pub offset: u64,
    pub key: Vec<u16>,
}

/// A model's keys: where positions lie in its caches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys<'a> {
    pub tile: &'a Tile,
    pub kv: &'a PagedKv,
    /// Pages of all sequences, `width` of each.
    pub table: &'a [i32],
    pub width: u32,
    pub context: u32,
    pub scale: f32,
}

impl Keys<'_> {
    fn offset(&self, sequence: u32, position: u32, kv_head: u32) -> u64 {
        let page = self.table[(sequence * self.width + position / self.kv.page_size) as usize];
        self.kv.offset(page as u32, position % self.kv.page_size, kv_head)
    }

    fn logit(&self, query: &[f32], key: &[f32]) -> f64 {
        f64::from(self.scale) * f64::from(query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>())
    }

    /// The logits of all confirmed positions, without needles.
    fn background(&self, reader: &Reader) -> impl Iterator<Item = f64> {
        (0..self.context).map(|position| {
            let offset = self.offset(reader.sequence, position, reader.kv_head);
            self.logit(&reader.query, self.tile.vector(reader.array, offset, self.kv.head_dim))
        })
    }

    /// A needle for each reader's query at each of its positions.
    ///
    /// # Errors
    /// A needle is not far enough above the background.
    pub(crate) fn plant(&self, readers: &[(&Reader, &[u32])]) -> anyhow::Result<Vec<Needle>> {
        let of_reader = |(reader, positions): &(&Reader, &[u32])| {
            let greatest = self.background(reader).fold(f64::MIN, f64::max);
            let norm: f64 = reader.query.iter().map(|&q| f64::from(q).powi(2)).sum();
            // Half a unit more than asked, which rounding may take.
            let factor = (greatest + MARGIN + 0.5) / (f64::from(self.scale) * norm);
            let item = |&q: &f32| encode(Dtype::Bf16, (factor * f64::from(q)) as f32);
            let key: Vec<u16> = reader.query.iter().map(item).collect();
            let above = self.logit(&reader.query, &decoded(&key)) - greatest;
            ensure!(above >= MARGIN, "a needle is only {above:.2} above the background, not {MARGIN}");
            let Reader { layer, sequence, kv_head, .. } = **reader;
            let at = |&position: &u32| {
                let offset = self.offset(sequence, position, kv_head);
                Needle { layer, sequence, position, kv_head, offset, key: key.clone() }
            };
            Ok(positions.iter().map(at).collect::<Vec<_>>())
        };
        let planted: Vec<Vec<Needle>> = readers.par_iter().map(of_reader).collect::<anyhow::Result<_>>()?;
        Ok(planted.into_iter().flatten().collect())
    }

    /// The attention, in f64, that the readers of each sequence pay to its `sets`, weighted as in the map.
    pub(crate) fn mass(&self, readers: &[Reader], needles: &[Needle], sets: &[&[i32]]) -> Vec<f64> {
        let of_reader = |reader: &Reader| {
            let mut logits: Vec<f64> = self.background(reader).collect();
            let read = |needle: &&Needle| {
                (needle.layer, needle.sequence, needle.kv_head)
                    == (reader.layer, reader.sequence, reader.kv_head)
            };
            for needle in needles.iter().filter(read) {
                logits[needle.position as usize] = self.logit(&reader.query, &decoded(&needle.key));
            }
            let greatest = logits.iter().copied().fold(f64::MIN, f64::max);
            let all: f64 = logits.iter().map(|logit| (logit - greatest).exp()).sum();
            let chosen = sets[reader.sequence as usize].iter();
            let chosen: f64 = chosen.map(|&position| (logits[position as usize] - greatest).exp()).sum();
            reader.weight * chosen / all
        };
        let shares: Vec<f64> = readers.par_iter().map(of_reader).collect();
        let mut masses = vec![0.0; sets.len()];
        for (reader, share) in readers.iter().zip(shares) {
            masses[reader.sequence as usize] += share;
        }
        masses
    }
}

fn decoded(key: &[u16]) -> Vec<f32> {
    key.iter().map(|&bits| decode(Dtype::Bf16, bits)).collect()
}
