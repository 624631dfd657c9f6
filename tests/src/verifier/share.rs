//! What a tensor-parallel rank has of a world.

use dustin::{
    geometry::ModelShare,
    kv::PagedKv,
    verifier::{Captured, Stages, VerifierProblem},
};

use super::world::{Caches, NAN, Rows, World};

impl World {
    /// The share of rank `tp_rank` of `tp_size`: the rank's heads of the target. The draft stands whole on every rank.
    ///
    /// # Panics
    /// The target's heads cannot be shared out so.
    #[must_use]
    pub fn share(&self, tp_size: u32, tp_rank: u32) -> Self {
        let mut problem: VerifierProblem = self.problem.clone();
        let whole = self.problem.target;
        let share = ModelShare::new(whole.share.geometry(), tp_size, tp_rank).expect("heads that divide");
        let PagedKv { pages, page_size, head_dim, .. } = whole.kv;
        let kv = PagedKv::dense(whole.kv.layout(), pages, page_size, share.local().kv_heads, head_dim);
        (problem.target.share, problem.target.kv) = (share, kv);
        let stages = Stages::new(&problem).expect("a valid problem");
        let dim = head_dim as usize;
        let of_cache = |cache: &Vec<u16>| {
            let mut own = vec![NAN; kv.extent() as usize];
            for (page, token) in (0..pages).flat_map(|page| (0..page_size).map(move |token| (page, token))) {
                for (head, global) in share.kv_heads().enumerate() {
                    let from = whole.kv.offset(page, token, global) as usize;
                    let to = kv.offset(page, token, head as u32) as usize;
                    own[to..to + dim].copy_from_slice(&cache[from..from + dim]);
                }
            }
            own
        };
        let of_rows = |rows: &Vec<u16>, heads: u32, own: std::ops::Range<u32>| {
            let (start, end) = (own.start as usize * dim, own.end as usize * dim);
            rows.chunks(heads as usize * dim).flat_map(|row| &row[start..end]).copied().collect()
        };
        let geometry = share.geometry();
        Self {
            target: self
                .target
                .iter()
                .map(|caches| Caches { key: of_cache(&caches.key), value: of_cache(&caches.value) })
                .collect(),
            rows: self
                .rows
                .iter()
                .map(|rows| Rows {
                    key: of_rows(&rows.key, geometry.kv_heads, share.kv_heads()),
                    value: of_rows(&rows.value, geometry.kv_heads, share.kv_heads()),
                    query: of_rows(&rows.query, geometry.query_heads, share.query_heads()),
                })
                .collect(),
            target_queries: queries(&self.stages.target_captured, &share, &self.target_queries),
            problem,
            stages,
            ..self.clone()
        }
    }
}

/// The captured queries of the rank's heads, of one token.
fn queries(whole: &Captured, share: &ModelShare, items: &[u16]) -> Vec<u16> {
    let dim = whole.head_dim as usize;
    let own = |slot: &[u16]| {
        let heads = whole.layers.iter().flat_map(|layer| &layer.heads).enumerate();
        let own = heads.filter(|&(_, &head)| share.local_head(head).is_some());
        own.flat_map(|(index, _)| slot[index * dim..][..dim].to_vec()).collect::<Vec<_>>()
    };
    items.chunks(whole.slot_stride() as usize).flat_map(own).collect()
}
