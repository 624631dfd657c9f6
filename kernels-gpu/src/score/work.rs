//! A warp's work on its chunks, from keys to exponentials and sums.

use super::{
    columns::Columns,
    fold::Folding,
    heads::Heads,
    keys::{Producer, Ring},
    params::{Cache, Fold, Source},
    sequence::Sequence,
    smem::COLUMN_GROUP,
    sums::Running,
    tile::Tile,
    walk::Chunks,
};
use crate::simt::{Element, barrier, cp_async};

/// What a warp works with, whose ring has `U` tiles of `8 · H` keys of `32 · J` items.
pub(super) struct Work<'a, const H: usize, const J: usize, const U: usize> {
    pub(super) cache: &'a Cache,
    pub(super) sequence: &'a Sequence,
    pub(super) source: &'a Source,
    pub(super) heads: Heads,
    pub(super) ring: Ring<H, J, U>,
    /// Has asked for the first `U - 1` tiles.
    pub(super) producer: Producer<'a, H, J, U>,
    pub(super) running: Running,
    pub(super) chunks: Chunks,
    /// Where exponentials and sums go.
    pub(super) own: Fold,
    /// What the source before left, and what it is folded with.
    pub(super) before: Fold,
    pub(super) folding: Folding,
}

impl<const H: usize, const J: usize, const U: usize> Work<'_, H, J, U> {
    /// Works through the chunks. The source before is folded by `N` packed words to a lane at a time.
    ///
    /// # Safety
    /// As [`logits`](super::logits::logits). Groups, queries and normalisers are visible, and each chunk is one warp's.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn run<E: Element, const N: usize>(mut self) {
        let Self { cache, sequence, source, heads, ring, running, chunks, own, before, folding, .. } = self;
        let columns = Columns::of_lane(&own, sequence);
        let mut chunk = chunks.first;
        let mut stage = 0;
        while let Some((begin, end)) = chunks.range(chunk) {
            if before.groups > 0 {
                // SAFETY: the caller's promise. The lanes that read a place of the workspace are not those that write it, behind the
                // warp's next barrier.
                unsafe { folding.chunk::<N, 1>(&before, sequence, chunk, begin, end) };
            }
            running.reset(own.groups);
            let readable = end.min(sequence.readable(cache));
            let mut position = begin;
            while position < end {
                for index in 0..source.kv_groups {
                    // The tile's keys are in, and every lane is done with those of the last one.
                    cp_async::wait_pending(U as u32 - 2);
                    barrier::warp_sync();
                    // SAFETY: the place of the last tile is free; queries and this tile's keys are visible to all lanes. The workspace
                    // has room for the groups and the tile, which is the warp's alone.
                    unsafe {
                        self.producer.next();
                        let group = heads.group(index);
                        let tile = Tile { stage, position, end: readable, masked: self.producer.masked };
                        for place in
                            group.first_group..group.first_group + group.columns.div_ceil(COLUMN_GROUP)
                        {
                            let logits = tile.logits::<E, H, J, U>(cache, sequence, heads, ring, place);
                            let mut sums = running.load(place);
                            if let Some(factors) = sums.make_room(&logits) {
                                columns.multiply(place, begin, position, factors);
                            }
                            columns.store(place, position, &sums.add(columns.format, &logits));
                            running.store(place, sums);
                        }
                    }
                    stage = if stage + 1 == U as u32 { 0 } else { stage + 1 };
                }
                position += Ring::<H, J, U>::TOKENS;
            }
            for group in 0..own.groups {
                let (column, sum) = running.load(group).of_warp(columns.format);
                if let Some(column) = column {
                    let sums = sequence.sums(&own, group, column);
                    // SAFETY: the workspace has room for the sequence, the group and the chunk, which is the warp's.
                    unsafe { sums.store(chunk.into(), sum.to_bits()) };
                }
            }
            chunk += chunks.stride;
        }
    }
}
