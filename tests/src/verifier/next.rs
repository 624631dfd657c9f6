//! What a step leaves to the next one.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::{
    batch::Batch,
    outcome::{Outcome, Settled},
    world::{NAN, Normals, World, vector},
};

impl World {
    /// What acceptance and the capture behind it must write; nothing if the verifier does not accept.
    #[must_use]
    pub fn settled(&self, batch: &Batch) -> Option<Settled> {
        let proposals = batch.proposals.as_ref()?;
        let counts = proposals.counts();
        let mut target_queries = self.target_queries.clone();
        let (captured, dim) = (&self.stages.target_captured, self.problem.target.kv.head_dim as usize);
        let row_items = self.stages.attention.query_heads as usize * dim;
        let slots = self.capture_slots(batch);
        for (index, path) in proposals.planned.iter().enumerate() {
            let Some(&last) = path.last() else { continue };
            let row = batch.row_starts[index] as usize + last as usize;
            let mut to = slots[index] as usize * captured.slot_stride() as usize;
            for (layer, head) in
                captured.layers.iter().flat_map(|own| own.heads.iter().map(move |&head| (own.layer, head)))
            {
                let from = row * row_items + head as usize * dim;
                let query = &batch.rows[layer as usize].query[from..from + dim];
                target_queries[to..to + dim].copy_from_slice(query);
                to += dim;
            }
        }
        Some(Settled {
            accepted: counts.iter().map(|count| (count - 1).max(0)).collect(),
            emitted: proposals.emitted(&batch.row_starts),
            path: proposals.paths(),
            last_rows: proposals.last_rows(),
            new_lengths: batch.lengths.iter().zip(&counts).map(|(length, count)| length + count).collect(),
            target_queries,
        })
    }

    /// The slots that queries are captured in behind a step: those that sequences have, and for one without the slot of the number
    /// behind all others.
    #[must_use]
    pub fn capture_slots(&self, batch: &Batch) -> Vec<i32> {
        let mut free = self.sequences.len() as i32 + 1;
        let slot = |(index, &slot): (usize, &i32)| {
            let is_new = slot < 0 && index < batch.order.len();
            free += i32::from(is_new);
            if is_new { free - 1 } else { slot }
        };
        batch.slots.iter().enumerate().map(slot).collect()
    }

    /// The world behind a step: longer sequences, in caches that hold NaN again behind them, the captured queries, and new rows
    /// from `seed`.
    #[must_use]
    pub fn next(&self, batch: &Batch, outcome: &Outcome, seed: u64) -> Self {
        let mut next = self.clone();
        let mut random = Normals { rng: Pcg64Mcg::seed_from_u64(seed), dtype: self.problem.target.dtype };
        let settled = outcome.settled.as_ref().expect("a verifier that accepts");
        let slots = self.capture_slots(batch);
        next.target.clone_from(&outcome.compacted);
        next.target_queries.clone_from(&settled.target_queries);
        let target = self.problem.target.kv;
        let draft = self.problem.draft.expect("a draft model").model.kv;
        for (index, &number) in batch.order.iter().enumerate() {
            let sequence = &mut next.sequences[number];
            let (old, length) = (sequence.length, settled.new_lengths[index] as u32);
            (sequence.length, sequence.slot) = (length, slots[index]);
            for (position, head) in
                (length..old + sequence.rows).flat_map(|at| (0..target.kv_heads).map(move |head| (at, head)))
            {
                for caches in &mut next.target {
                    for cache in [&mut caches.key, &mut caches.value] {
                        vector(&target, &sequence.target_table, position, head, cache).fill(NAN);
                    }
                }
            }
            for (position, head) in
                (old..length).flat_map(|at| (0..draft.kv_heads).map(move |head| (at, head)))
            {
                for keys in &mut next.draft_keys {
                    random.fill(vector(&draft, &sequence.draft_table, position, head, keys));
                }
            }
        }
        next.rows = random.rows(self.sequences.len() * self.problem.limits.rows as usize);
        next
    }
}
