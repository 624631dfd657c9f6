//! What of a model a tensor-parallel rank has.

use std::ops::Range;

use super::Geometry;
use crate::error::InvalidInput;

const OPERATION: &str = "tensor parallelism";

/// One rank's share of a model: as many of its query and KV heads as each other rank has, those of rank 0 first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelShare {
    geometry: Geometry,
    tp_size: u32,
    tp_rank: u32,
}

impl ModelShare {
    /// The whole model, on one rank.
    #[must_use]
    pub const fn whole(geometry: Geometry) -> Self {
        Self { geometry, tp_size: 1, tp_rank: 0 }
    }

    /// The share of rank `tp_rank` of `tp_size`.
    ///
    /// # Errors
    /// The model's heads cannot be shared out over so many ranks, or there is no such rank.
    pub fn new(geometry: Geometry, tp_size: u32, tp_rank: u32) -> Result<Self, InvalidInput> {
        if geometry.local(tp_size).is_none() {
            let required =
                format!("a divisor of the {} query and {} KV heads", geometry.query_heads, geometry.kv_heads);
            return Err(InvalidInput::new(OPERATION, "tp_size", required, tp_size));
        }
        if tp_rank >= tp_size {
            return Err(InvalidInput::new(OPERATION, "tp_rank", format!("below {tp_size}"), tp_rank));
        }
        Ok(Self { geometry, tp_size, tp_rank })
    }

    /// The whole model's geometry.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Ranks.
    #[must_use]
    pub const fn tp_size(&self) -> u32 {
        self.tp_size
    }

    /// This rank's number.
    #[must_use]
    pub const fn tp_rank(&self) -> u32 {
        self.tp_rank
    }

    /// The geometry with this rank's heads alone.
    #[must_use]
    pub const fn local(&self) -> Geometry {
        Geometry {
            query_heads: self.geometry.query_heads / self.tp_size,
            kv_heads: self.geometry.kv_heads / self.tp_size,
            ..self.geometry
        }
    }

    /// The query heads of this rank, by the whole model's numbers.
    #[must_use]
    pub const fn query_heads(&self) -> Range<u32> {
        share(self.local().query_heads, self.tp_rank)
    }

    /// The KV heads of this rank, by the whole model's numbers.
    #[must_use]
    pub const fn kv_heads(&self) -> Range<u32> {
        share(self.local().kv_heads, self.tp_rank)
    }

    /// This rank's number for query head `head` of the whole model, if it is one of its own.
    #[must_use]
    pub fn local_head(&self, head: u32) -> Option<u32> {
        let own = self.query_heads();
        own.contains(&head).then(|| head - own.start)
    }
}

const fn share(count: u32, rank: u32) -> Range<u32> {
    rank * count..(rank + 1) * count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::preset;

    #[test]
    fn ranks_have_consecutive_heads_and_together_all_of_them() {
        let model = preset("Qwen2.5-72B").unwrap();
        let ranks: Vec<_> = (0..4).map(|rank| ModelShare::new(model, 4, rank).unwrap()).collect();
        let heads: Vec<u32> = ranks.iter().flat_map(ModelShare::query_heads).collect();
        assert_eq!(heads, (0..64).collect::<Vec<_>>());
        assert_eq!(ranks[3].kv_heads(), 6..8);
        assert_eq!(ranks[1].local(), Geometry { query_heads: 16, kv_heads: 2, ..model });
        assert_eq!([15, 16, 31, 32].map(|head| ranks[1].local_head(head)), [None, Some(0), Some(15), None]);
        assert_eq!(ModelShare::whole(model), ModelShare::new(model, 1, 0).unwrap());
    }

    #[test]
    fn a_share_that_cannot_be_made_is_refused_by_field() {
        let model = preset("Qwen2.5-72B").unwrap();
        let field = |size, rank| ModelShare::new(model, size, rank).unwrap_err().field;
        assert_eq!(field(0, 0), "tp_size");
        assert_eq!(field(16, 0), "tp_size");
        assert_eq!(field(8, 8), "tp_rank");
        assert_eq!(field(8, u32::MAX), "tp_rank");
    }
}
