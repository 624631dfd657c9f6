//! Batches of a world's sequences.

use super::{
    forwards::Forward,
    proposals::Proposals,
    world::{Caches, NAN, Rows, Sequence, World, vector},
};

/// The arrays of a step that are made for it: some of a world's sequences in some order, and behind them none.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The sequences, by their numbers in the world.
    pub order: Vec<usize>,
    /// Confirmed lengths.
    pub lengths: Vec<i32>,
    /// First rows.
    pub row_starts: Vec<i32>,
    /// Pages of the target's caches.
    pub block_table: Vec<i32>,
    /// Pages of the draft's caches.
    pub draft_table: Vec<i32>,
    /// First positions of the maps' parts.
    pub map_starts: Vec<i32>,
    /// Slots of captured target queries.
    pub slots: Vec<i32>,
    /// Slots of captured draft queries.
    pub draft_slots: Vec<i32>,
    /// What the draft's forwards leave: none where its map is not read.
    pub forwards: Vec<Forward>,
    /// First rows of a forward: one for each sequence.
    pub forward_starts: Vec<i32>,
    /// Rows that each row sees; empty for causal ones.
    pub masks: Vec<u64>,
    /// The step's own rows, layer by layer; NaN behind the last.
    pub rows: Vec<Rows>,
    /// Accepted rows: a path that leaves out every other row, or that of the proposals.
    pub accepted: Vec<i32>,
    /// How many there are of each sequence.
    pub accepted_counts: Vec<i32>,
    /// What acceptance reads, if the verifier accepts.
    pub proposals: Option<Proposals>,
}

impl World {
    /// A step of the sequences `order`.
    #[must_use]
    pub fn batch(&self, order: &[usize]) -> Batch {
        let limits = &self.problem.limits;
        let (batch, most) = (limits.max_batch as usize, limits.rows as usize);
        let absent = batch - order.len();
        let of = |item: &dyn Fn(usize) -> i32, none: i32| {
            let items = order.iter().map(|&sequence| item(sequence));
            items.chain(std::iter::repeat_n(none, absent)).collect::<Vec<_>>()
        };
        let sums = |items: &[i32]| {
            let sum = items.iter().scan(0, |sum, item| {
                *sum += item;
                Some(*sum)
            });
            [0].into_iter().chain(sum).collect::<Vec<i32>>()
        };
        let tables = |width: u32, table: fn(&Sequence) -> &[i32]| {
            let mut items = vec![i32::MAX; batch * width as usize];
            for (row, &sequence) in items.chunks_mut(width as usize).zip(order) {
                let pages = table(&self.sequences[sequence]);
                row[..pages.len()].copy_from_slice(pages);
            }
            items
        };
        let lengths = of(&|sequence| self.sequences[sequence].length as i32, 0);
        let counts = of(&|sequence| self.sequences[sequence].rows as i32, 0);
        let accepted = order.iter().flat_map(|&sequence| {
            let rows = self.sequences[sequence].rows;
            (0..self.stages.compaction.accepted).map(move |i| if 2 * i < rows { 2 * i as i32 } else { -1 })
        });
        let mut accepted: Vec<i32> = accepted.collect();
        accepted.resize(batch * self.stages.compaction.accepted as usize, -1);
        let mut masks: Vec<u64> = Vec::new();
        if self.stages.attention.mask == dustin::attention::problem::Mask::Tree {
            masks.extend(order.iter().flat_map(|&sequence| &self.sequences[sequence].masks));
            masks.resize(batch * most, u64::MAX);
        }
        let counts_of = |sequence: usize| {
            let rows = self.sequences[sequence].rows.div_ceil(2);
            rows.min(self.stages.compaction.accepted) as i32
        };
        let mut accepted_counts = of(&counts_of, 0);
        let row_starts = sums(&counts);
        let proposals = self.stages.acceptance.map(|_| Proposals::new(self, order, &row_starts));
        if let Some(proposals) = &proposals {
            accepted = proposals.paths();
            accepted_counts = proposals.counts();
        }
        let draft_slots = of(&|sequence| sequence as i32, -1);
        Batch {
            order: order.to_vec(),
            forwards: self.forwards(&draft_slots[..order.len()]),
            forward_starts: sums(&of(&|_| 1, 0)),
            row_starts,
            block_table: tables(self.problem.target_table_width(), |sequence| &sequence.target_table),
            draft_table: tables(self.problem.draft_table_width(), |sequence| &sequence.draft_table),
            map_starts: sums(&lengths),
            lengths,
            slots: of(&|sequence| self.sequences[sequence].slot, -1),
            draft_slots,
            masks,
            rows: self.rows.iter().map(|rows| self.rows_of(rows, order)).collect(),
            accepted,
            accepted_counts,
            proposals,
        }
    }

    fn rows_of(&self, rows: &Rows, order: &[usize]) -> Rows {
        let limits = &self.problem.limits;
        let take = |items: &Vec<u16>| {
            let row = items.len() / self.sequences.len() / limits.rows as usize;
            let own = order.iter().flat_map(|&sequence| {
                let first = sequence * limits.rows as usize;
                &items[first * row..][..self.sequences[sequence].rows as usize * row]
            });
            let mut own: Vec<u16> = own.copied().collect();
            own.resize((limits.max_batch * limits.rows) as usize * row, NAN);
            own
        };
        Rows { key: take(&rows.key), value: take(&rows.value), query: take(&rows.query) }
    }

    /// The target's caches once the rows of `batch` are appended.
    #[must_use]
    pub fn appended(&self, batch: &Batch) -> Vec<Caches> {
        let kv = self.problem.target.kv;
        let mut layers = self.target.clone();
        for (caches, rows) in layers.iter_mut().zip(&batch.rows) {
            for (index, &sequence) in batch.order.iter().enumerate() {
                let Sequence { length, rows: count, target_table, .. } = &self.sequences[sequence];
                for (row, head) in (0..*count).flat_map(|row| (0..kv.kv_heads).map(move |head| (row, head))) {
                    let number = batch.row_starts[index] as u32 + row;
                    let from = ((number * kv.kv_heads + head) * kv.head_dim) as usize;
                    for (cache, own) in [(&mut caches.key, &rows.key), (&mut caches.value, &rows.value)] {
                        vector(&kv, target_table, length + row, head, cache)
                            .copy_from_slice(&own[from..from + kv.head_dim as usize]);
                    }
                }
            }
        }
        layers
    }

    /// The target's caches once the accepted rows of `batch` are moved up, too.
    #[must_use]
    pub fn compacted(&self, batch: &Batch) -> Vec<Caches> {
        let kv = self.problem.target.kv;
        let mut layers = self.appended(batch);
        let room = self.stages.compaction.accepted as usize;
        for (index, &sequence) in batch.order.iter().enumerate() {
            let Sequence { length, target_table, .. } = &self.sequences[sequence];
            let accepted = &batch.accepted[index * room..][..batch.accepted_counts[index] as usize];
            for ((place, &row), head) in
                (0..).zip(accepted).flat_map(|moved| (0..kv.kv_heads).map(move |head| (moved, head)))
            {
                for caches in &mut layers {
                    for cache in [&mut caches.key, &mut caches.value] {
                        let taken = vector(&kv, target_table, length + row as u32, head, cache).to_vec();
                        vector(&kv, target_table, length + place, head, cache).copy_from_slice(&taken);
                    }
                }
            }
        }
        layers
    }
}
