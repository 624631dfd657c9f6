//! The sets of a sequence, and which of its tokens they read.

use std::collections::BTreeSet;

use dustin_kernels::attention::params::EVERYTHING;
use rand::seq::{SliceRandom, index};

use super::{AttentionInput, SequenceShape};
use crate::{
    attention::problem::{Confirmed, Entries, Sets},
    synthetic::Items,
};

impl AttentionInput {
    /// Makes up the sets of `sequence`, whose table is filled, and gives the confirmed positions that are read.
    pub(super) fn fill_sets(
        &mut self,
        sequence: usize,
        shape: &SequenceShape,
        sorted: bool,
        random: &mut Items,
    ) -> BTreeSet<u32> {
        let sets = match self.problem.confirmed {
            Confirmed::Everything => return (0..shape.length).collect(),
            Confirmed::Window { sinks, recent } => {
                let first_recent = shape.length.saturating_sub(recent);
                return (0..shape.length.min(sinks)).chain(first_recent..shape.length).collect();
            }
            Confirmed::Sets(sets) => sets,
        };
        let mut read = BTreeSet::new();
        for head in 0..self.problem.sets_per_sequence() as usize {
            if shape.set_size == SequenceShape::EVERYTHING {
                self.set_sizes.push(EVERYTHING);
                read.extend(0..shape.length);
                continue;
            }
            let blocks = some_blocks(&sets, shape, sorted, random);
            let positions = blocks.iter().flat_map(|block| block * sets.block..(block + 1) * sets.block);
            let positions =
                positions.filter(|&position| position < shape.length).take(shape.set_size as usize);
            read.extend(positions.clone());
            // Fewer where the last block is one that the sequence fills in part.
            self.set_sizes.push(positions.count() as i32);
            let first = sequence * self.strides.set as usize + head * self.strides.set_head as usize;
            for (at, &block) in blocks.iter().enumerate() {
                self.set[first + at] = self.entry(&sets, sequence, block);
            }
        }
        read
    }

    /// The entry that names the sequence's `block`th block.
    fn entry(&self, sets: &Sets, sequence: usize, block: u32) -> i32 {
        match sets.entries {
            Entries::Positions => block as i32,
            Entries::Slots => {
                let (position, page_size) = (block * sets.block, self.problem.kv.page_size);
                let table = &self.block_table[sequence * self.strides.table as usize..];
                let slot = table[(position / page_size) as usize] as u32 * page_size + position % page_size;
                (slot / sets.block) as i32
            }
        }
    }
}

/// As many blocks as hold the set's tokens. One that the sequence fills in part is the last.
fn some_blocks(sets: &Sets, shape: &SequenceShape, sorted: bool, random: &mut Items) -> Vec<u32> {
    let (all, some) = (shape.length.div_ceil(sets.block), shape.set_size.div_ceil(sets.block));
    let mut blocks = index::sample(&mut random.rng, all as usize, some as usize).into_vec();
    if sorted {
        blocks.sort_unstable();
    } else {
        blocks.shuffle(&mut random.rng);
    }
    let in_part = |block: usize| (block as u32 + 1) * sets.block > shape.length;
    if let Some(at) = blocks.iter().position(|&block| in_part(block)) {
        let block = blocks.remove(at);
        blocks.push(block);
    }
    blocks.into_iter().map(|block| block as u32).collect()
}
