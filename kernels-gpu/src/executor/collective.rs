//! Warp-wide operations: posted lane by lane, performed when all 32 lanes have posted the same one.

use super::{
    clock::{self, Readers},
    cluster::Arrival,
    history::Visit,
    machine::Machine,
    mma::{self, MmaItem},
    report::{Access, Fault, Place},
    sites::SiteId,
    waiting::{Thread, Wait},
};
use crate::simt::WARP;

/// Lanes in a warp.
const LANES: usize = WARP as usize;
/// Bytes of a row of an 8x8 matrix of 16-bit items.
const ROW: usize = 16;

/// A warp-wide operation, as one lane posts it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// `bar.warp.sync`.
    Sync,
    /// `shfl.sync.bfly`.
    ShuffleXor { value: u32, mask: u32 },
    /// `shfl.sync.idx`.
    ShuffleIndex { value: u32, source: u32 },
    /// `shfl.sync.up`.
    ShuffleUp { value: u32, delta: u32 },
    /// `vote.sync.ballot`.
    Ballot { predicate: bool },
    /// `redux.sync.add`.
    ReduceAdd { value: u32 },
    /// `redux.sync.max`.
    ReduceMax { value: u32 },
    /// `barrier.cluster.arrive`, `barrier.cluster.wait`, or both.
    ClusterBarrier { arrival: Option<Arrival>, waits: bool },
    /// `ldmatrix`, of 2 or 4 matrices.
    LdMatrix { row: u32, matrices: usize, transposed: bool },
    /// Two matrices of an operand of `wgmma`: its address, and the distances of its descriptor.
    AsyncMatrices { row: u32, transposed: bool, operand: [u32; 3] },
    /// `mma`, m16n8k16.
    Mma { item: MmaItem, accumulator: [f32; 4], a: [u32; 4], b: [u32; 2] },
}

impl Operation {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sync => "a warp barrier",
            Self::ShuffleXor { .. } | Self::ShuffleIndex { .. } | Self::ShuffleUp { .. } => "a shuffle",
            Self::Ballot { .. } => "a vote",
            Self::ReduceAdd { .. } | Self::ReduceMax { .. } => "a reduction",
            Self::ClusterBarrier { .. } => "the cluster's barrier",
            Self::LdMatrix { .. } => "ldmatrix",
            Self::AsyncMatrices { .. } => "wgmma",
            Self::Mma { .. } => "mma",
        }
    }

    /// Whether two lanes have posted the same instruction.
    fn matches(self, other: Self) -> bool {
        match (self, other) {
            (
                Self::LdMatrix { matrices, transposed, .. },
                Self::LdMatrix { matrices: others, transposed: other, .. },
            ) => matrices == others && transposed == other,
            (
                Self::AsyncMatrices { transposed, operand, .. },
                Self::AsyncMatrices { transposed: other, operand: others, .. },
            ) => transposed == other && operand == others,
            (Self::Mma { item, .. }, Self::Mma { item: other, .. }) => item == other,
            (
                Self::ClusterBarrier { arrival, waits },
                Self::ClusterBarrier { arrival: other, waits: others },
            ) => arrival == other && waits == others,
            _ => std::mem::discriminant(&self) == std::mem::discriminant(&other),
        }
    }
}

impl Machine {
    /// The running thread waits for its warp.
    pub(super) fn post(&mut self, operation: Operation, site: SiteId) {
        let number = usize::from(self.current);
        let thread = &mut self.threads[number];
        thread.wait = Wait::Collective(operation);
        thread.site = site;
        self.barriers.warps[number / LANES].posted |= 1 << (number % LANES);
    }

    /// Performs the operation that all lanes of `warp` have posted.
    pub(super) fn perform(&mut self, warp: usize) {
        let first = warp * LANES;
        let site = self.threads[first].site;
        let Wait::Collective(operation) = self.threads[first].wait else { return };
        let same = |thread: &Thread| {
            thread.site == site && matches!(thread.wait, Wait::Collective(other) if other.matches(operation))
        };
        let lanes = &self.threads[first..first + LANES];
        if let Some(stray) = lanes.iter().position(|thread| !same(thread)) {
            let source = self.source(self.threads[first + stray].site);
            let lanes = self.standing(first..first + LANES);
            self.report_at((first + stray) as u16, Some(source), Fault::Divergent { lanes });
            self.stopped = true;
            return;
        }
        match operation {
            Operation::Sync => clock::meet(&mut self.clocks, first..first + LANES),
            Operation::ShuffleXor { .. } | Operation::ShuffleIndex { .. } | Operation::ShuffleUp { .. } => {
                self.shuffle(first);
            }
            Operation::Ballot { .. } => self.ballot(first),
            Operation::ReduceAdd { .. } | Operation::ReduceMax { .. } => self.reduce(first),
            // Whoever waits there waits on, so the lanes are let go first.
            Operation::ClusterBarrier { .. } => {}
            Operation::LdMatrix { matrices, transposed, .. } => {
                self.counts.ldmatrix += 1;
                self.matrices(first, matrices, transposed, site);
            }
            Operation::AsyncMatrices { transposed, operand, .. } => {
                self.note_product(warp, operand, transposed, site);
                self.check_fences(first, site);
                self.matrices(first, 2, transposed, site);
            }
            Operation::Mma { item, .. } => self.mma(first, item),
        }
        for thread in &mut self.threads[first..first + LANES] {
            thread.wait = Wait::Nothing;
        }
        let warp = &mut self.barriers.warps[warp];
        (warp.ready, warp.posted) = (u32::MAX, 0);
        if let Operation::ClusterBarrier { arrival, waits } = operation {
            self.cluster_barrier(first..first + LANES, arrival, waits, site);
        }
    }

    fn shuffle(&mut self, first: usize) {
        self.counts.shuffles += 1;
        let mut sources = [0; LANES];
        let mut values = [0; LANES];
        for lane in 0..LANES {
            (sources[lane], values[lane]) = match self.threads[first + lane].wait {
                Wait::Collective(Operation::ShuffleXor { value, mask }) => {
                    (lane ^ (mask as usize % LANES), value)
                }
                Wait::Collective(Operation::ShuffleIndex { value, source }) => {
                    (source as usize % LANES, value)
                }
                Wait::Collective(Operation::ShuffleUp { value, delta }) => {
                    (lane.checked_sub(delta as usize % LANES).unwrap_or(lane), value)
                }
                _ => (lane, 0),
            };
        }
        for lane in 0..LANES {
            self.threads[first + lane].result[0] = values[sources[lane]];
        }
    }

    fn ballot(&mut self, first: usize) {
        self.fold(first, |ballot, lane, operation| match operation {
            Operation::Ballot { predicate } => ballot | u32::from(predicate) << lane,
            _ => ballot,
        });
    }

    fn reduce(&mut self, first: usize) {
        self.fold(first, |result, _, operation| match operation {
            Operation::ReduceAdd { value } => result.wrapping_add(value),
            Operation::ReduceMax { value } => result.max(value),
            _ => result,
        });
    }

    /// Gives every lane what `step` makes of 0, lane after lane.
    fn fold(&mut self, first: usize, step: impl Fn(u32, u32, Operation) -> u32) {
        self.counts.shuffles += 1;
        let lanes = &mut self.threads[first..first + LANES];
        let result = (0..).zip(&*lanes).fold(0, |result, (lane, thread)| match thread.wait {
            Wait::Collective(operation) => step(result, lane, operation),
            _ => result,
        });
        for lane in lanes {
            lane.result[0] = result;
        }
    }

    fn matrices(&mut self, first: usize, matrices: usize, transposed: bool, site: SiteId) {
        let uniform = clock::uniform(&self.clocks[first..first + LANES]);
        let mut rows = [[0; ROW]; LANES];
        for (lane, bytes) in rows.iter_mut().enumerate() {
            let Wait::Collective(Operation::LdMatrix { row, .. } | Operation::AsyncMatrices { row, .. }) =
                self.threads[first + lane].wait
            else {
                continue;
            };
            self.current = (first + lane) as u16;
            let Some(start) = self.shared_place(self.rank, Access::Read, row, ROW, site) else { continue };
            if lane >= 8 * matrices {
                continue;
            }
            let clocks = &self.clocks[first..first + LANES];
            let visit = Visit {
                access: Access::Read,
                stamp: self.stamp(self.current, site),
                readers: Readers::Warp { first: first as u16, clocks, uniform },
                clock: &clocks[lane],
                now: self.now,
            };
            let verdict = self.shared[self.rank].shadow.visit(start, ROW, &visit);
            self.judge(verdict, Access::Read, Place::Shared { address: row }, ROW, site);
            bytes.copy_from_slice(&self.shared[self.rank].bytes[start..start + ROW]);
        }
        let item = |matrix: usize, row: usize, column: usize| {
            let row = &rows[8 * matrix + row];
            u32::from(u16::from_le_bytes([row[2 * column], row[2 * column + 1]]))
        };
        for lane in 0..LANES {
            let (own, pair) = (lane / 4, 2 * (lane % 4));
            let result = &mut self.threads[first + lane].result;
            for (matrix, word) in result.iter_mut().enumerate().take(matrices) {
                let (low, high) = if transposed {
                    (item(matrix, pair, own), item(matrix, pair + 1, own))
                } else {
                    (item(matrix, own, pair), item(matrix, own, pair + 1))
                };
                *word = low | high << 16;
            }
        }
    }

    fn mma(&mut self, first: usize, item: MmaItem) {
        self.counts.mma += 1;
        let mut fragments = mma::Fragments::default();
        for lane in 0..LANES {
            if let Wait::Collective(Operation::Mma { accumulator, a, b, .. }) =
                self.threads[first + lane].wait
            {
                fragments.set(lane, accumulator, a, b);
            }
        }
        fragments.multiply(item);
        for lane in 0..LANES {
            self.threads[first + lane].result = fragments.accumulator(lane).map(f32::to_bits);
        }
    }
}
