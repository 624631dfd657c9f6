//! The kernel that walks through the tree of a sequence's drafts.

use super::{
    chunk::{Chunk, NONE},
    draws::{Draws, uniform},
    output::Output,
    params::{Params, Scores, proposal},
    race::race,
    residual::{Distribution, Residual},
    scores::{Measure, Row},
    sequence::Sequence,
    smem::MAX_ROWS,
    team::Team,
};
use crate::{
    fault::Fault,
    simt::{
        Global, Shared, WARP, barrier,
        thread::{self, lane, thread_index, warp},
        vote,
    },
};

/// Accepts the drafts of one sequence: by a block of `W` warps, or by a cluster of `C` of them. `accept_rows` has been launched
/// before it, with the same parameters.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; nobody writes them
/// meanwhile. The grid is `[C, batch, 1]`, in clusters of `C`; the block has the shared memory that
/// [`Plan`](super::smem::Plan) says.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn walk<const W: u32, const C: u32>(params: &Params) {
    let team = Team::<W, C>::of_block();
    // SAFETY: the caller's promise.
    unsafe {
        let (sequence, fault) = Sequence::of_block(params);
        if let Some(fault) = fault
            && team.leads()
        {
            sequence.report(params, fault);
        }
        let draws = Draws::new(params.seeds.load(u64::from(sequence.index)), params.step.load(0));
        let output = Output::new(params, sequence, team.leads());
        let mut walk = Walk { params, sequence, team, draws, output };
        let mut token = NONE;
        if sequence.rows > 0 {
            walk.prepare();
            barrier::block_sync_aligned();
            token = walk.go();
        }
        if walk.team.rank == 0 {
            walk.output.finish(token);
        }
        walk.team.part();
    }
}

struct Walk<'a, const W: u32, const C: u32> {
    params: &'a Params,
    sequence: Sequence,
    team: Team<W, C>,
    draws: Draws,
    output: Output<'a>,
}

/// What a row drafts. As a word of 16 bytes: token, parent, and its scores by the target and by the draft.
struct Drafted {
    token: u32,
    p_score: f32,
    q_score: f32,
}

impl<const W: u32, const C: u32> Walk<'_, W, C> {
    /// Merges the figures of all rows, a warp each, and looks up what rows draft, a thread each. Behind a barrier they are in
    /// shared memory.
    ///
    /// # Safety
    /// As [`walk`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn prepare(&self) {
        let (params, sequence, plan) = (self.params, &self.sequence, &self.team.plan);
        // SAFETY: the caller's promise; a sequence has at most as many rows as the plan has room for.
        unsafe {
            if thread_index() < sequence.rows {
                self.look_up(thread_index());
            }
            let mut row = warp();
            while row < sequence.rows {
                let draft_row = sequence.draft_row(params, row);
                let (target, mut sound) = self.figures(params.target_chunks, row, &params.target);
                let mut draft = [0; 4];
                if let Ok(Some(scores_row)) = draft_row {
                    let (figures, has_mass) = self.figures(params.draft_chunks, row, &params.draft);
                    let sum = if has_mass { figures.sum } else { 0.0 };
                    draft = [figures.max.to_bits(), scores_row, sum.to_bits(), 0];
                    sound &= has_mass;
                }
                if lane() == 0 {
                    Shared::<[u32; 4]>::at(plan.target).store(row, target.word());
                    Shared::<[u32; 4]>::at(plan.draft).store(row, draft);
                    if self.team.rank == 0 && !sound {
                        sequence.report(params, Fault::Score);
                    }
                    if let Err(fault) = draft_row
                        && self.team.rank == 0
                    {
                        sequence.report(params, fault);
                    }
                }
                row = thread::opaque(row + W);
            }
        }
    }

    /// The figures of a row of `scores`, and whether it has any weight.
    ///
    /// # Safety
    /// As [`walk`]. All lanes of the warp take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn figures(&self, chunks: Global<[u32; 4]>, row: u32, scores: &Scores) -> (Chunk, bool) {
        let measure = self.measure(scores);
        let count = self.params.chunks;
        // SAFETY: the caller's promise.
        let chunk =
            unsafe { Chunk::of_row(chunks, self.sequence.in_batch(row) * u64::from(count), count, measure) };
        (chunk, measure.has_mass(chunk.max))
    }

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn measure(&self, scores: &Scores) -> Measure {
        Measure::new(scores.kind, self.sequence.temperature)
    }

    /// Looks up what `row` drafts. One that is at fault continues no row.
    ///
    /// # Safety
    /// As [`walk`]; the row is one of the sequence's.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn look_up(&self, row: u32) {
        let (params, sequence) = (self.params, &self.sequence);
        let place = sequence.in_batch(row);
        // SAFETY: the caller's promise. A score is looked up once its row and its token are known to exist.
        unsafe {
            let token = params.tokens.load(place).cast_unsigned();
            let parent =
                if params.parents.is_null() { row.cast_signed() - 1 } else { params.parents.load(place) };
            let follows = if row == 0 { parent == -1 } else { parent >= 0 && parent.cast_unsigned() < row };
            let exists = row == 0 || token < params.vocabulary;
            let mut word = [token, NONE, 0, 0];
            if row > 0 && follows && exists {
                let parent = parent.cast_unsigned();
                word[1] = parent;
                let target = Row::new(&params.target, sequence.first_row + parent, params.vocabulary);
                word[2] = target.load(token).to_bits();
                if let Ok(Some(draft_row)) = sequence.draft_row(params, parent) {
                    let draft = Row::new(&params.draft, draft_row, params.vocabulary);
                    word[3] = draft.load(token).to_bits();
                }
            }
            Shared::<[u32; 4]>::at(self.team.plan.drafted).store(row, word);
            if self.team.rank == 0 {
                if !follows {
                    sequence.report(params, Fault::Parent);
                } else if !exists {
                    sequence.report(params, Fault::Token);
                }
            }
        }
    }

    /// The rows of the sequence that `predicate` holds for, a bit each, which is asked for words of [`Drafted`].
    ///
    /// # Safety
    /// Behind [`Walk::prepare`] and a barrier. All lanes of the warp take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn rows_that(&self, predicate: impl Fn([u32; 4]) -> bool) -> u64 {
        let mut rows = 0;
        for half in 0..MAX_ROWS / WARP {
            let row = half * WARP + lane();
            let mut holds = false;
            if row < self.sequence.rows {
                // SAFETY: the caller's promise.
                holds = predicate(unsafe { Shared::at(self.team.plan.drafted).load(row) });
            }
            rows |= u64::from(vote::ballot(holds)) << (half * WARP);
        }
        rows
    }

    /// Walks from row 0 to where no draft is accepted, and returns the next token.
    ///
    /// # Safety
    /// As [`Walk::rows_that`]. All threads of the team take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn go(&mut self) -> u32 {
        let mut node = 0;
        let mut token = NONE;
        loop {
            // SAFETY: the caller's promise; nodes ascend, so that the path has as many at most as the sequence has rows.
            unsafe {
                self.output.come_to(node, token);
                let target = Chunk::of_word(Shared::at(self.team.plan.target).load(node));
                let best = if target.token == NONE { 0 } else { target.token };
                let has_mass = self.measure(&self.params.target).has_mass(target.max);
                if self.sequence.is_greedy() || !has_mass {
                    let next = self.rows_that(|[token, parent, ..]| parent == node && token == best);
                    if next == 0 || !self.sequence.is_greedy() {
                        return best;
                    }
                    (node, token) = (next.trailing_zeros(), best);
                    continue;
                }
                let mut residual = self.residual(node, &target);
                match self.try_drafts(node, &mut residual) {
                    Some((next, its_token)) => (node, token) = (next, its_token),
                    None => return self.draw(node, &mut residual),
                }
            }
        }
    }

    /// All of the distribution at `node`.
    ///
    /// # Safety
    /// As [`Walk::rows_that`]; the target's row has a weight.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn residual(&self, node: u32, target: &Chunk) -> Residual {
        let (params, plan) = (self.params, &self.team.plan);
        // SAFETY: the caller's promise.
        let [max, draft_row, sum, _] = unsafe { Shared::<[u32; 4]>::at(plan.draft).load(node) };
        let draft_sum = f32::from_bits(sum);
        let target = Distribution {
            row: Row::new(&params.target, self.sequence.first_row + node, params.vocabulary),
            measure: self.measure(&params.target),
            max: target.max,
            inverse_sum: 1.0 / target.sum,
        };
        let draft = Distribution {
            row: Row::new(&params.draft, draft_row, params.vocabulary),
            measure: self.measure(&params.draft),
            max: f32::from_bits(max),
            inverse_sum: if draft_sum > 0.0 { 1.0 / draft_sum } else { 0.0 },
        };
        Residual::whole(target, draft, params, Shared::at(plan.drafted))
    }

    /// Tries the drafts behind `node`: the row that is accepted, and its token, or nothing and what is left.
    ///
    /// # Safety
    /// As [`Walk::go`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn try_drafts(&mut self, node: u32, residual: &mut Residual) -> Option<(u32, u32)> {
        // SAFETY: the caller's promise.
        let mut rows = unsafe { self.rows_that(|[_, parent, ..]| parent == node) };
        while rows != 0 {
            let row = rows.trailing_zeros();
            rows &= rows - 1;
            // SAFETY: the caller's promise.
            unsafe {
                let draft = self.drafted(row);
                let p = residual.target.probability(draft.p_score);
                let is_certain = self.params.proposal == proposal::CERTAIN;
                let q = if is_certain { 1.0 } else { residual.draft.probability(draft.q_score) };
                let is_gone =
                    self.params.proposal != proposal::INDEPENDENT && residual.has_rejected(draft.token);
                // It cannot have been drawn: it says nothing of the target's tokens.
                if q == 0.0 || is_gone {
                    continue;
                }
                if !residual.is_whole() && !residual.sum(&mut self.team) {
                    residual.restore();
                    return None;
                }
                let u = uniform(self.draws.acceptance(row));
                if residual.accepts(p, q, u) {
                    return Some((row, draft.token));
                }
                residual.reject(row);
            }
        }
        None
    }

    /// What `row` drafts.
    ///
    /// # Safety
    /// As [`Walk::rows_that`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn drafted(&self, row: u32) -> Drafted {
        // SAFETY: the caller's promise.
        let [token, _, p, q] = unsafe { Shared::<[u32; 4]>::at(self.team.plan.drafted).load(row) };
        Drafted { token, p_score: f32::from_bits(p), q_score: f32::from_bits(q) }
    }

    /// Draws the next token from what is left at `node`; where rounding leaves nothing, from all of it.
    ///
    /// # Safety
    /// As [`Walk::go`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn draw(&mut self, node: u32, residual: &mut Residual) -> u32 {
        // Once, or twice where nothing is left; a loop, so that the body is compiled once.
        loop {
            // SAFETY: the caller's promise.
            let won = unsafe { race(&mut self.team, residual, &self.draws, node) };
            match won {
                Some(token) => return token,
                None if residual.is_whole() => return 0,
                None => residual.restore(),
            }
        }
    }
}
