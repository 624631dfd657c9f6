//! The shapes that are timed.

use dustin::{
    Dtype,
    geometry::Geometry,
    kv::{KvLayout, PagedKv},
    problem::AttentionProblem,
};

const QWEN_72B: Geometry = Geometry { layers: 80, query_heads: 64, kv_heads: 8, head_dim: 128 };
const QWEN_7B: Geometry = Geometry { layers: 28, query_heads: 28, kv_heads: 4, head_dim: 128 };
const QWEN_0_5B: Geometry = Geometry { layers: 24, query_heads: 14, kv_heads: 2, head_dim: 64 };

/// Sparse attention of one layer in bf16, pages of 16 tokens, sets full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Name.
    pub name: &'static str,
    /// Sequences.
    pub batch: u32,
    /// Confirmed tokens of each sequence.
    pub context: u32,
    /// Query rows of each sequence.
    pub rows: u32,
    /// Positions in each sequence's set.
    pub k: u32,
    /// The heads of this rank.
    pub geometry: Geometry,
}

/// The headline workload: Qwen2.5-72B, 16 sequences of 32,768 tokens, 5 rows, a budget of 512.
const W1: Shape = Shape { name: "w1", batch: 16, context: 32_768, rows: 5, k: 512, geometry: QWEN_72B };

const fn rank_of(tp_size: u32) -> Geometry {
    Geometry { query_heads: 64 / tp_size, kv_heads: 8 / tp_size, ..QWEN_72B }
}

/// What GPUs are timed on.
pub const GPU: &[Shape] = &[
    W1,
    Shape { name: "w1-rows8", rows: 8, ..W1 },
    Shape { name: "w1-tp4", geometry: rank_of(4), ..W1 },
    Shape { name: "w1-tp8", geometry: rank_of(8), ..W1 },
    Shape { name: "w1-k1024", k: 1024, ..W1 },
    Shape { name: "w1-k2048", k: 2048, ..W1 },
    Shape { name: "w1-b1", batch: 1, ..W1 },
    Shape { name: "w1-b4", batch: 4, ..W1 },
    Shape { name: "w1-b8-16k", batch: 8, context: 16_384, ..W1 },
    Shape { name: "w1-b64-8k", batch: 64, context: 8192, ..W1 },
];

/// What CPUs are timed on: small enough for two cores.
pub const CPU: &[Shape] = &[
    Shape { name: "cpu-0.5b", batch: 1, context: 4096, rows: 5, k: 512, geometry: QWEN_0_5B },
    Shape { name: "cpu-7b", batch: 1, context: 4096, rows: 5, k: 256, geometry: QWEN_7B },
];

impl Shape {
    /// The problem.
    #[must_use]
    pub fn problem(&self) -> AttentionProblem {
        let Geometry { query_heads, kv_heads, head_dim, .. } = self.geometry;
        let page_size = 16;
        let table_width = (self.context + self.rows).div_ceil(page_size);
        AttentionProblem {
            batch: self.batch,
            rows: self.rows,
            total_rows: self.batch * self.rows,
            set_capacity: self.k,
            query_heads,
            kv: PagedKv::dense(KvLayout::Nhd, self.batch * table_width, page_size, kv_heads, head_dim),
            table_width,
            dtype: Dtype::Bf16,
            lse: false,
        }
    }

    /// One sequence of the shape, no longer than twice its set: small enough for the reference.
    #[must_use]
    pub fn check(&self) -> Self {
        Self { batch: 1, context: self.context.min(2 * self.k), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_a_valid_problem() {
        for shape in GPU.iter().chain(CPU) {
            for shape in [*shape, shape.check()] {
                assert_eq!(shape.problem().validate(), Ok(()), "{}", shape.name);
            }
        }
    }

    #[test]
    fn the_headline_workload_moves_as_many_bytes_as_documented() {
        assert_eq!((W1.problem().bytes() as f64 / 1e5).round() / 10.0, 36.5);
    }
}
