//! A tile configuration as a type, so that every derived figure is a compile-time constant.

use super::{config::Tile, smem::Plan};
use crate::simt::thread::warp;

/// What is constant in one compiled variant.
pub(super) trait Shape {
    /// Items in a head.
    const HEAD_DIM: u32;
    /// The tile configuration.
    const TILE: Tile;

    /// Tokens in a step of one team.
    const STEP: u32 = Self::TILE.step_tokens();
    /// Threads in the block.
    const THREADS: u32 = Self::TILE.threads();
    /// Query columns of the block.
    const COLUMNS: u32 = Self::TILE.query_columns();
    /// 16-byte words in a row of a head.
    const WORDS: u32 = Self::HEAD_DIM / 8;
    /// The plan of shared memory.
    const PLAN: Plan = Plan::new(Self::TILE, Self::HEAD_DIM);

    /// The calling warp's team.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn team() -> u32 {
        warp() / Self::TILE.columns
    }

    /// The calling warp's number in its team: that of its group of 16 query columns.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn member() -> u32 {
        warp() % Self::TILE.columns
    }
}

/// Head size `D`, `C` groups of 16 query columns, `T` teams, `N` token groups, `S` stages; `O` where launches overlap, `W` where
/// teams are warpgroups.
pub(super) struct Variant<
    const D: usize,
    const C: usize,
    const T: usize,
    const N: usize,
    const S: usize,
    const O: bool,
    const W: bool,
>;

impl<
    const D: usize,
    const C: usize,
    const T: usize,
    const N: usize,
    const S: usize,
    const O: bool,
    const W: bool,
> Shape for Variant<D, C, T, N, S, O, W>
{
    const HEAD_DIM: u32 = D as u32;
    const TILE: Tile = Tile {
        columns: C as u32,
        teams: T as u32,
        groups: N as u32,
        stages: S as u32,
        overlaps: O,
        wgmma: W,
    };
}
