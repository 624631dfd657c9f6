//! A tile configuration as a type, so that every derived figure is a compile-time constant.

use super::{config::Tile, smem::Plan};

/// What is constant in one compiled variant.
pub(super) trait Shape {
    /// Items in a head.
    const HEAD_DIM: u32;
    /// The tile configuration.
    const TILE: Tile;

    /// Tokens in a tile.
    const TOKENS: u32 = Self::TILE.tokens();
    /// Threads in the block.
    const THREADS: u32 = Self::TILE.threads();
    /// Query columns of the block.
    const COLUMNS: u32 = Self::TILE.query_columns();
    /// 16-byte words in a row of a head.
    const WORDS: u32 = Self::HEAD_DIM / 8;
    /// The plan of shared memory.
    const PLAN: Plan = Plan::new(Self::TILE, Self::HEAD_DIM);
}

/// Head size `D`, `W` warps, `M` token groups, `C` column groups, `S` stages.
pub(super) struct Variant<const D: usize, const W: usize, const M: usize, const C: usize, const S: usize>;

impl<const D: usize, const W: usize, const M: usize, const C: usize, const S: usize> Shape
    for Variant<D, W, M, C, S>
{
    const HEAD_DIM: u32 = D as u32;
    const TILE: Tile = Tile { warps: W as u32, groups: M as u32, columns: C as u32, stages: S as u32 };
}
