//! From a problem and two variants to two launches: grids, clusters, workspace and parameters. Pure, so that the GPU and the
//! executor are launched alike.

use std::ops::Range;

use dustin_kernels::{
    accept::params::{self, Params},
    registry::{ACCEPT_ROWS, ACCEPT_WALK, AcceptRowsVariant, AcceptWalkVariant},
    simt::Global,
};

use super::{
    OPERATION,
    arrays::{AcceptStrides, require_presence},
    problem::{AcceptProblem, Scores},
};
pub use crate::limits::WORKSPACE_ALIGNMENT;
use crate::{
    error::{InvalidInput, require_address},
    limits::DeviceLimits,
};

/// The validated launches of two variants for one problem: one of `rows`, and behind it on the same stream one of `walk`.
#[derive(Clone, Debug)]
pub struct AcceptPlan {
    problem: AcceptProblem,
    rows: &'static AcceptRowsVariant,
    walk: &'static AcceptWalkVariant,
    workspace: WorkspaceLayout,
}

/// Where the parts of a workspace lie, in bytes from its start, each aligned to [`WORKSPACE_ALIGNMENT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceLayout {
    /// The sticky status word, one u64: zeroed by the caller, raised by launches.
    pub status: Range<u64>,
    /// Figures of the target's rows, words of 16 bytes, `[total_rows, chunks]`.
    pub target_chunks: Range<u64>,
    /// Figures of the draft's, likewise; empty without them.
    pub draft_chunks: Range<u64>,
}

impl WorkspaceLayout {
    fn new(problem: &AcceptProblem) -> Self {
        let mut end = 0u64;
        let mut part = |bytes: u64| {
            let start = end.next_multiple_of(WORKSPACE_ALIGNMENT);
            end = start + bytes;
            start..end
        };
        let chunks = 16 * u64::from(problem.total_rows) * u64::from(problem.chunks());
        Self {
            status: part(8),
            target_chunks: part(chunks),
            draft_chunks: part(if problem.draft.is_some() { chunks } else { 0 }),
        }
    }

    /// Bytes in all.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.draft_chunks.end
    }

    /// The bytes that must be zero before the first launch, from the workspace's start: the status word.
    #[must_use]
    pub const fn zeroed_bytes(&self) -> u64 {
        self.status.end
    }
}

/// The addresses of the launches' arrays. The shapes are those of [`Params`].
#[derive(Clone, Copy, Debug)]
pub struct AcceptBuffers {
    /// The target's scores; aligned to an item, as are the draft's.
    pub target: u64,
    /// The draft's scores; 0 where the problem has none.
    pub draft: u64,
    /// Rows of the draft's scores, i32; 0 unless the problem is of trees and has such scores.
    pub draft_rows: u64,
    /// Tokens, i32.
    pub tokens: u64,
    /// Parents, i32; 0 unless the problem is of trees.
    pub parents: u64,
    /// First rows, i32.
    pub row_starts: u64,
    /// Temperatures, f32.
    pub temperatures: u64,
    /// Seeds, u64.
    pub seeds: u64,
    /// How many steps have been taken, one u64. The first launch adds one and the second draws with the sum, so that each
    /// replay of a captured graph draws anew, and what the caller writes there next is where it goes on.
    pub step: u64,
    /// Confirmed lengths, i32; 0 unless new ones are written.
    pub lengths: u64,
    /// Accepted drafts, i32.
    pub accepted: u64,
    /// Emitted tokens, i32.
    pub emitted: u64,
    /// Paths, i32.
    pub path: u64,
    /// Last rows of paths, i32.
    pub last_rows: u64,
    /// New lengths, i32; 0 unless the problem asks for them. May be the address of the lengths.
    pub new_lengths: u64,
    /// The workspace; aligned to [`WORKSPACE_ALIGNMENT`].
    pub workspace: u64,
    /// Bytes of the workspace, at least [`AcceptPlan::workspace_bytes`].
    pub workspace_bytes: u64,
    /// Distances between rows.
    pub strides: AcceptStrides,
}

/// The variants that are launched without tuning: a cluster for each sequence where the device has them.
///
/// # Errors
/// None runs on the device.
pub fn default_variants(
    limits: &DeviceLimits,
) -> Result<(&'static AcceptRowsVariant, &'static AcceptWalkVariant), InvalidInput> {
    let rows = ACCEPT_ROWS.iter().find(|rows| rows.target.runs_on(limits.major, limits.minor));
    let walks = ACCEPT_WALK.iter().filter(|walk| walk.target.runs_on(limits.major, limits.minor));
    rows.zip(walks.max_by_key(|walk| walk.cluster)).ok_or_else(|| {
        let actual = format!("none for compute capability {}.{}", limits.major, limits.minor);
        InvalidInput::new(OPERATION, "device", "one that variants run on", actual)
    })
}

impl AcceptPlan {
    /// Plans the launches of `rows` and `walk` for `problem`.
    ///
    /// # Errors
    /// The problem is invalid.
    pub fn new(
        problem: &AcceptProblem,
        rows: &'static AcceptRowsVariant,
        walk: &'static AcceptWalkVariant,
    ) -> Result<Self, InvalidInput> {
        problem.validate()?;
        Ok(Self { problem: *problem, rows, walk, workspace: WorkspaceLayout::new(problem) })
    }

    /// The problem served.
    #[must_use]
    pub const fn problem(&self) -> &AcceptProblem {
        &self.problem
    }

    /// The kernel launched first.
    #[must_use]
    pub const fn rows(&self) -> &'static AcceptRowsVariant {
        self.rows
    }

    /// The kernel launched behind it.
    #[must_use]
    pub const fn walk(&self) -> &'static AcceptWalkVariant {
        self.walk
    }

    /// Blocks of the launch of `rows`: `[chunks, batch, 2 · rows]`, or half as many without scores of the draft.
    #[must_use]
    pub const fn rows_grid(&self) -> [u32; 3] {
        let models = if self.problem.draft.is_some() { 2 } else { 1 };
        [self.problem.chunks(), self.problem.batch, models * self.problem.rows]
    }

    /// Blocks of the launch of `walk`: `[cluster, batch, 1]`, in clusters of [`AcceptWalkVariant::cluster`].
    #[must_use]
    pub const fn walk_grid(&self) -> [u32; 3] {
        [self.walk.cluster, self.problem.batch, 1]
    }

    /// The parts of the workspace.
    #[must_use]
    pub const fn workspace(&self) -> &WorkspaceLayout {
        &self.workspace
    }

    /// Bytes of workspace that the launches need.
    #[must_use]
    pub const fn workspace_bytes(&self) -> u64 {
        self.workspace.bytes()
    }

    /// The parameters of both launches over `buffers`.
    ///
    /// # Errors
    /// An address is missing, misaligned or not asked for, the workspace is too small, or a stride is not as documented.
    pub fn params(&self, buffers: &AcceptBuffers) -> Result<Params, InvalidInput> {
        self.validate(buffers)?;
        let (problem, strides, workspace) = (&self.problem, &buffers.strides, &self.workspace);
        let scores = |scores: Scores, address, row_stride, rows| params::Scores {
            address,
            row_stride,
            rows,
            dtype: scores.dtype.code(),
            kind: scores.kind.code(),
        };
        let target = scores(problem.target, buffers.target, strides.target_row, problem.total_rows);
        let draft = problem.draft.map_or(params::Scores { address: 0, rows: 0, ..target }, |draft| {
            scores(draft.scores, buffers.draft, strides.draft_row, draft.rows)
        });
        Ok(Params {
            target,
            draft,
            draft_rows: Global::at(buffers.draft_rows),
            tokens: Global::at(buffers.tokens),
            parents: Global::at(buffers.parents),
            row_starts: Global::at(buffers.row_starts),
            temperatures: Global::at(buffers.temperatures),
            seeds: Global::at(buffers.seeds),
            step: Global::at(buffers.step),
            lengths: Global::at(buffers.lengths),
            accepted: Global::at(buffers.accepted),
            emitted: Global::at(buffers.emitted),
            emitted_stride: strides.emitted,
            accepted_rows: Global::at(buffers.path),
            accepted_rows_stride: strides.path,
            last_rows: Global::at(buffers.last_rows),
            new_lengths: Global::at(buffers.new_lengths),
            target_chunks: Global::at(buffers.workspace + workspace.target_chunks.start),
            draft_chunks: Global::at(buffers.workspace + workspace.draft_chunks.start),
            status: Global::at(buffers.workspace + workspace.status.start),
            vocabulary: problem.vocabulary,
            total_rows: problem.total_rows,
            row_capacity: problem.rows,
            chunks: problem.chunks(),
            proposal: problem.proposal(),
        })
    }

    fn validate(&self, buffers: &AcceptBuffers) -> Result<(), InvalidInput> {
        let problem = &self.problem;
        buffers.strides.validate(problem)?;
        let draft_bytes = problem.draft.map_or(1, |draft| draft.scores.dtype.bytes());
        for (field, address, asked, alignment) in [
            ("draft", buffers.draft, problem.draft.is_some(), draft_bytes),
            ("draft_rows", buffers.draft_rows, problem.names_draft_rows(), 4),
            ("parents", buffers.parents, problem.tree, 4),
            ("lengths", buffers.lengths, problem.new_lengths, 4),
            ("new_lengths", buffers.new_lengths, problem.new_lengths, 4),
        ] {
            require_presence(field, address != 0, asked)?;
            if asked {
                require_address(OPERATION, field, address, alignment)?;
            }
        }
        for (field, address, alignment) in [
            ("target", buffers.target, problem.target.dtype.bytes()),
            ("tokens", buffers.tokens, 4),
            ("row_starts", buffers.row_starts, 4),
            ("temperatures", buffers.temperatures, 4),
            ("seeds", buffers.seeds, 8),
            ("step", buffers.step, 8),
            ("accepted", buffers.accepted, 4),
            ("emitted", buffers.emitted, 4),
            ("path", buffers.path, 4),
            ("last_rows", buffers.last_rows, 4),
            ("workspace", buffers.workspace, WORKSPACE_ALIGNMENT),
        ] {
            require_address(OPERATION, field, address, alignment)?;
        }
        let required = self.workspace_bytes();
        if buffers.workspace_bytes < required {
            let (required, actual) = (format!("at least {required}"), buffers.workspace_bytes);
            return Err(InvalidInput::new(OPERATION, "workspace_bytes", required, actual));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::problem::{Draft, ScoreKind, ScoreType};

    fn problem() -> AcceptProblem {
        let scores = |dtype| Scores { dtype, kind: ScoreKind::Logits };
        AcceptProblem {
            batch: 16,
            rows: 5,
            total_rows: 80,
            vocabulary: 152_064,
            target: scores(ScoreType::F32),
            draft: Some(Draft { scores: scores(ScoreType::Bf16), rows: 64, without_replacement: true }),
            tree: true,
            new_lengths: true,
        }
    }

    fn plan(problem: &AcceptProblem) -> AcceptPlan {
        AcceptPlan::new(problem, &ACCEPT_ROWS[0], &ACCEPT_WALK[0]).unwrap()
    }

    fn buffers() -> AcceptBuffers {
        AcceptBuffers {
            target: 0x1000,
            draft: 0x2000,
            draft_rows: 0x3000,
            tokens: 0x4000,
            parents: 0x5000,
            row_starts: 0x6000,
            temperatures: 0x7000,
            seeds: 0x8000,
            step: 0x9000,
            lengths: 0xa000,
            accepted: 0xb000,
            emitted: 0xc000,
            path: 0xd000,
            last_rows: 0xe000,
            new_lengths: 0xa000,
            workspace: 0x10000,
            workspace_bytes: 1 << 20,
            strides: AcceptStrides::dense(&problem()),
        }
    }

    #[test]
    fn there_is_a_block_for_each_chunk_and_a_cluster_for_each_sequence() {
        let plan = plan(&problem());
        assert_eq!(plan.rows_grid(), [19, 16, 10]);
        assert_eq!(plan.walk_grid(), [plan.walk().cluster, 16, 1]);
        assert_eq!(plan.workspace_bytes(), 256 + 80 * 19 * 16 * 2);
        let greedy = AcceptProblem { draft: None, ..problem() };
        let greedy = AcceptPlan::new(&greedy, &ACCEPT_ROWS[0], &ACCEPT_WALK[0]).unwrap();
        assert_eq!((greedy.rows_grid(), greedy.workspace_bytes()), ([19, 16, 5], 256 + 80 * 19 * 16));
        let limits = DeviceLimits {
            major: 8,
            minor: 0,
            sm_count: 1,
            shared_bytes_per_block: 0,
            threads_per_block: 1024,
        };
        let cluster = |major| default_variants(&DeviceLimits { major, ..limits }).unwrap().1.cluster;
        assert_eq!((cluster(8), cluster(9)), (1, 8));
        let old = default_variants(&DeviceLimits { major: 7, ..limits });
        assert_eq!(old.unwrap_err().field, "device");
    }

    #[test]
    fn parameters_are_the_capacities_and_the_addresses() {
        let params = plan(&problem()).params(&buffers()).unwrap();
        assert_eq!((params.target.dtype, params.draft.dtype, params.draft.rows), (0, 1, 64));
        assert_eq!((params.proposal, params.chunks, params.row_capacity), (2, 19, 5));
        assert_eq!(params.draft_chunks.address() - params.target_chunks.address(), 80 * 19 * 16);
    }

    #[test]
    fn bad_addresses_and_strides_are_refused_by_field() {
        let field = |change: fn(&mut AcceptBuffers)| {
            let mut buffers = buffers();
            change(&mut buffers);
            plan(&problem()).params(&buffers).unwrap_err().field
        };
        assert_eq!(field(|b| b.target += 2), "target");
        assert_eq!(field(|b| b.draft += 1), "draft");
        assert_eq!(field(|b| b.draft = 0), "draft");
        assert_eq!(field(|b| b.draft_rows = 0), "draft_rows");
        assert_eq!(field(|b| b.tokens = 0), "tokens");
        assert_eq!(field(|b| b.parents += 2), "parents");
        assert_eq!(field(|b| b.row_starts += 1), "row_starts");
        assert_eq!(field(|b| b.temperatures = 0), "temperatures");
        assert_eq!(field(|b| b.seeds += 4), "seeds");
        assert_eq!(field(|b| b.step += 4), "step");
        assert_eq!(field(|b| b.lengths = 0), "lengths");
        assert_eq!(field(|b| b.accepted = 0), "accepted");
        assert_eq!(field(|b| b.emitted += 1), "emitted");
        assert_eq!(field(|b| b.path += 2), "path");
        assert_eq!(field(|b| b.last_rows = 0), "last_rows");
        assert_eq!(field(|b| b.new_lengths = 0), "new_lengths");
        assert_eq!(field(|b| b.workspace += 8), "workspace");
        assert_eq!(field(|b| b.workspace_bytes = 48_000), "workspace_bytes");
        assert_eq!(field(|b| b.strides.target_row = 9), "strides.target_row");
        let chain = AcceptProblem { tree: false, ..problem() };
        assert_eq!(plan(&chain).params(&buffers()).unwrap_err().field, "draft_rows");
    }
}
