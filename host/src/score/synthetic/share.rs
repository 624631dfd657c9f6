//! What a tensor-parallel rank holds of an input.

use super::{ScoreInput, SourceInput};
use crate::{
    error::InvalidInput,
    geometry::{Geometry, ModelShare},
    kv::PagedKv,
    score::{arrays::ScoreStrides, problem::Source},
    synthetic::nans,
};

impl ScoreInput {
    /// The share of rank `tp_rank` of `tp_size` tensor-parallel ones: its heads ([`Source::local`]), their captured queries,
    /// and caches of its KV heads alone, without gaps. Sequences, tables and map are those of the whole. Nothing if the rank
    /// is left without a source.
    ///
    /// # Errors
    /// The heads cannot be shared out over so many ranks, there is no such rank, or the host's memory does not hold the
    /// arrays.
    pub fn share(&self, tp_size: u32, tp_rank: u32) -> Result<Option<Self>, InvalidInput> {
        let mut problem = self.problem.clone();
        let PagedKv { pages, page_size, kv_heads, head_dim, .. } = problem.kv;
        let query_heads = problem.query_heads;
        // Of the sizes of a model's other parts nothing here depends.
        let (hidden, intermediate, vocabulary) = (0, 0, 0);
        let layers = problem.sources.len() as u32;
        let geometry = Geometry { layers, query_heads, kv_heads, head_dim, hidden, intermediate, vocabulary };
        problem.sources = Source::local(&problem.sources, &ModelShare::new(geometry, tp_size, tp_rank)?)?;
        if problem.sources.is_empty() {
            return Ok(None);
        }
        problem.query_heads /= tp_size;
        problem.kv = PagedKv::dense(problem.kv.layout(), pages, page_size, kv_heads / tp_size, head_dim);
        let strides = ScoreStrides { table: self.strides.table, ..ScoreStrides::dense(&problem) };
        let mut share = Self {
            problem,
            strides,
            scale: self.scale,
            sources: Vec::new(),
            slots: self.slots.clone(),
            block_table: self.block_table.clone(),
            lengths: self.lengths.clone(),
            map_starts: self.map_starts.clone(),
            map: self.map.clone(),
        };
        for (index, source) in self.problem.sources.iter().enumerate() {
            let own =
                source.heads.iter().map(|captured| captured.head / share.problem.query_heads == tp_rank);
            let first = own.clone().position(|own| own);
            if let Some(first) = first {
                let heads = own.filter(|&own| own).count() as u32;
                let query = share.queries(self, index, first as u32, heads)?;
                let key = share.keys(self, index, tp_rank)?;
                share.sources.push(SourceInput { query, key });
            }
        }
        Ok(Some(share))
    }

    /// The queries of `heads` captured heads of a source of `whole`, from head `first` on.
    fn queries(&self, whole: &Self, source: usize, first: u32, heads: u32) -> Result<Vec<u16>, InvalidInput> {
        let all = &whole.sources[source].query;
        let mut query = nans(u64::from(self.problem.slots) * self.strides.query_slot)?;
        for slot in 0..self.problem.slots {
            for token in 0..self.problem.tokens {
                for head in 0..heads {
                    let from = whole.strides.query(slot, token, first + head) as usize;
                    let to = self.strides.query(slot, token, head) as usize;
                    self.copy_head(&mut query[to..], &all[from..]);
                }
            }
        }
        Ok(query)
    }

    /// The keys of a source of `whole` that rank `tp_rank` caches.
    fn keys(&self, whole: &Self, source: usize, tp_rank: u32) -> Result<Vec<u16>, InvalidInput> {
        let (own, all) = (&self.problem.kv, &whole.sources[source].key);
        let mut key = nans(own.extent())?;
        for page in 0..own.pages {
            for token in 0..own.page_size {
                for head in 0..own.kv_heads {
                    let from = whole.problem.kv.offset(page, token, tp_rank * own.kv_heads + head) as usize;
                    self.copy_head(&mut key[own.offset(page, token, head) as usize..], &all[from..]);
                }
            }
        }
        Ok(key)
    }

    fn copy_head(&self, to: &mut [u16], from: &[u16]) {
        let items = self.problem.kv.head_dim as usize;
        to[..items].copy_from_slice(&from[..items]);
    }
}
