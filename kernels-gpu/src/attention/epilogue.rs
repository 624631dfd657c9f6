//! From the teams' sums to the output: reduction over the block, and over the splits of a sequence.

use super::{
    gather::busy_members, online::Softmax, params::Params, shape::Shape, task::Task, tokens::in_step,
};
use crate::simt::{
    Element, Global, Shared, atomic, barrier, math,
    thread::{self, block_y, grid_y, lane, thread_index},
};

/// Items of one half of a piece: a 16-byte word of fp32.
const HALF: usize = 4;

/// One thread's share of a column's output: four items of a head and the four half a head behind, so that neighbours' words
/// lie side by side; with the column's maximum and sum.
#[derive(Clone, Copy)]
struct Piece {
    maximum: f32,
    sum: f32,
    items: [[f32; HALF]; 2],
}

/// Writes the teams' outputs to shared memory, column by column, with their bases and sums; columns of warps that have none of the
/// sequence's stay out. The block meets, before and behind.
///
/// # Safety
/// All threads of the block take part, and every copy into the ring has been waited for.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn gather_block<G: Shape, const D8: usize>(
    task: &Task,
    softmax: &Softmax,
    output: &[[f32; 4]; D8],
) {
    let totals = softmax.totals();
    let column = 16 * G::member() + lane() / 4;
    // The team's last values have been read: its part of the ring holds its outputs from here on.
    super::kernel::team_sync::<G>();
    if G::member() < busy_members::<G>(task) {
        for i in 0..2 {
            let column = column + 8 * i as u32;
            if lane().is_multiple_of(4) {
                let state = u64::from(softmax.bases[i].to_bits()) | u64::from(totals[i].to_bits()) << 32;
                // SAFETY: the region holds an item for each column.
                unsafe { states::<G>(G::team()).store(column, state) };
            }
            let row = Shared::<u64>::at(staged::<G>(G::team(), column));
            for n in 0..D8 {
                let [low, high] =
                    [output[n][2 * i], output[n][2 * i + 1]].map(|item| u64::from(item.to_bits()));
                // SAFETY: the region holds a row for each team and column.
                unsafe { row.store(4 * n as u32 + lane() % 4, low | high << 32) };
            }
        }
    }
    barrier::block_sync();
}

/// The bases and sums of `team`, in place of its tokens.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn states<G: Shape>(team: u32) -> Shared<u64> {
    const {
        assert!(
            G::PLAN.token_steps * G::STEP * 4 >= G::COLUMNS * 8,
            "a team's places make room for its states"
        )
    };
    Shared::at(G::PLAN.places + 4 * in_step::<G>(team, 0))
}

/// Where `team` brings its output of column `column`, in bytes of the block's shared memory.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn staged<G: Shape>(team: u32, column: u32) -> u32 {
    G::PLAN.ring + team * G::PLAN.team + 4 * column * G::PLAN.output_stride
}

impl Piece {
    /// Nothing seen.
    const NOTHING: Self = Self { maximum: f32::NEG_INFINITY, sum: 0.0, items: [[0.0; HALF]; 2] };
}

/// Pieces that a thread has in its registers at a time.
const TOGETHER: usize = 2;

/// Where a piece goes.
#[derive(Clone, Copy)]
struct Target {
    /// Column of the block.
    local: u32,
    /// First item of the piece's first half.
    item: u32,
    /// Query row of the batch; [`Target::NOWHERE`] where the column is behind the sequence's last.
    row: u32,
    /// Query head.
    head: u32,
}

impl Target {
    /// No row.
    const NOWHERE: u32 = u32::MAX;

    /// No piece.
    const NOTHING: Self = Self { local: 0, item: 0, row: Self::NOWHERE, head: 0 };

    /// That of the calling thread's `i`th piece.
    ///
    /// # Safety
    /// [`note_columns`] has run, with a barrier behind.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn of<G: Shape>(i: usize) -> Self {
        // Taken as unknown, what follows from the thread is not kept in registers since it was last computed.
        let index = thread::opaque(thread_index()) + i as u32 * G::THREADS;
        let (local, item) = (index / G::WORDS, index % G::WORDS * HALF as u32);
        if local >= G::COLUMNS {
            return Self::NOTHING;
        }
        // SAFETY: the region holds an item for each column.
        let row_and_head = unsafe { Shared::<u64>::at(G::PLAN.columns).load(2 * local) };
        Self { local, item, row: row_and_head as u32, head: (row_and_head >> 32) as u32 }
    }

    /// Index of the column's state among those of split `split`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn state(&self, params: &Params, split: u32) -> u64 {
        let row = u64::from(split) * u64::from(params.total_rows) + u64::from(self.row);
        row * u64::from(params.query_heads) + u64::from(self.head)
    }

    /// Index of the 16-byte word of the piece's half `half`, among those of all states.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn word<G: Shape>(&self, state: u64, half: usize) -> u64 {
        (state * u64::from(G::HEAD_DIM) + u64::from(self.item + half as u32 * G::HEAD_DIM / 2)) / HALF as u64
    }
}

/// Notes each column's row and head and which own rows it sees, long before there is an output. Readers need a barrier.
///
/// # Safety
/// The masks are as documented.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn note_columns<G: Shape>(params: &Params, task: &Task) {
    let local = thread_index();
    if local < G::COLUMNS {
        let column = task.first_column + local;
        let mut row_and_head = u64::from(Target::NOWHERE);
        let mut mask = 0;
        if column < task.columns {
            let (row, head) = task.row_and_head(params, column);
            row_and_head = row | head << 32;
            mask = if params.masks.is_null() {
                // The rows up to its own.
                u64::MAX >> (63 - (row as u32 - task.first_row).min(63))
            } else {
                // SAFETY: the caller's promise; the row is one of the launch's.
                unsafe { params.masks.load(row) }
            };
        }
        // SAFETY: the region holds two items for each column.
        unsafe {
            Shared::<u64>::at(G::PLAN.columns).store(2 * local, row_and_head);
            Shared::<u64>::at(G::PLAN.columns).store(2 * local + 1, mask);
        }
    }
}

/// The block's own piece: what its teams have brought to shared memory, in their order.
///
/// # Safety
/// [`gather_block`] has run.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn own_piece<G: Shape>(target: &Target) -> Piece {
    let state = |team: u32| {
        // SAFETY: the caller's promise; the column is one of the block's.
        let state = unsafe { states::<G>(team).load(target.local) };
        [f32::from_bits(state as u32), f32::from_bits((state >> 32) as u32)]
    };
    let mut maximum = f32::NEG_INFINITY;
    for team in 0..G::TILE.teams {
        maximum = maximum.max(state(team)[0]);
    }
    let mut piece = Piece { maximum, ..Piece::NOTHING };
    for team in 0..G::TILE.teams {
        let [base, sum] = state(team);
        let row = Shared::<[u32; 4]>::at(staged::<G>(team, target.local));
        let factor = math::exp2(base - super::online::finite(maximum));
        piece.sum += sum * factor;
        for half in 0..2 {
            // SAFETY: the items lie in the column's row.
            let items = unsafe { row.load((target.item + half as u32 * G::HEAD_DIM / 2) / HALF as u32) };
            for i in 0..HALF {
                piece.items[half][i] += f32::from_bits(items[i]) * factor;
            }
        }
    }
    piece
}

/// Writes a finished piece: normalised output and, by the first piece of a column, the log-sum-exp.
///
/// # Safety
/// The output arrays are as documented.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn finish<E: Element, G: Shape>(params: &Params, target: &Target, piece: &Piece) {
    let normaliser = if piece.sum == 0.0 { 0.0 } else { 1.0 / piece.sum };
    let (row, head) = (u64::from(target.row), u64::from(target.head));
    let at = row * params.output_row_stride + head * params.output_head_stride + u64::from(target.item);
    for half in 0..2 {
        let word = (at + half as u64 * u64::from(G::HEAD_DIM) / 2) / HALF as u64;
        let items = piece.items[half].map(|x| x * normaliser);
        // SAFETY: the caller's promise; row and head are the launch's.
        unsafe {
            if params.output_f32 != 0 {
                Global::<[u32; 4]>::at(params.output.address()).store(word, items.map(f32::to_bits));
            } else {
                let [a, b, c, d] = items;
                let packed = u64::from(E::pack(a, b)) | u64::from(E::pack(c, d)) << 32;
                Global::<u64>::at(params.output.address()).store(word, packed);
            }
        }
    }
    // SAFETY: as above.
    unsafe {
        if target.item == 0 && !params.lse.is_null() {
            let lse = (piece.maximum + math::log2(piece.sum)) * params.lse_unit;
            params.lse.store(target.state(params, 0), lse);
        }
    }
}

/// Writes the block's outputs: finished where the sequence is one split, else for the last split to merge.
///
/// # Safety
/// [`note_columns`] and [`gather_block`] have run; the arrays that the parameters name are as documented; all threads take
/// part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn write<E: Element, G: Shape>(params: &Params, task: &Task) {
    let pieces = const { (G::COLUMNS * G::WORDS).div_ceil(G::THREADS) as usize };
    let mut first = 0;
    while first < pieces {
        let mut own = [Piece::NOTHING; TOGETHER];
        // Several pieces, so that their loads are under way together.
        for i in 0..TOGETHER {
            // SAFETY: the caller's promise.
            unsafe {
                let target = Target::of::<G>(first + i);
                if first + i < pieces && target.row != Target::NOWHERE {
                    own[i] = own_piece::<G>(&target);
                }
            }
        }
        for i in 0..TOGETHER {
            // SAFETY: the caller's promise. Targets are looked up again, not kept in registers meanwhile.
            unsafe {
                let target = Target::of::<G>(first + i);
                if first + i >= pieces || target.row == Target::NOWHERE {
                } else if task.splits == 1 {
                    finish::<E, G>(params, &target, &own[i]);
                } else {
                    write_partial::<G>(params, task, &target, &own[i]);
                }
            }
        }
        first += TOGETHER;
    }
    // SAFETY: the caller's promise; the arrival of the last split orders its reads behind all splits' writes.
    if task.splits > 1 && unsafe { is_last::<G>(params, task) } {
        for i in 0..pieces {
            // SAFETY: as above.
            unsafe {
                let target = Target::of::<G>(i);
                if target.row != Target::NOWHERE {
                    finish::<E, G>(params, &target, &merge::<G>(params, task, &target));
                }
            }
        }
    }
}

/// # Safety
/// As [`write`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn write_partial<G: Shape>(params: &Params, task: &Task, target: &Target, piece: &Piece) {
    let state = target.state(params, task.split);
    // SAFETY: the caller's promise; the index lies in the arrays of all splits, rows and heads.
    unsafe {
        let output = Global::<[u32; 4]>::at(params.partial_output.address());
        for half in 0..2 {
            output.store(target.word::<G>(state, half), piece.items[half].map(f32::to_bits));
        }
        if target.item == 0 {
            params.partial_sums.store(2 * state, piece.maximum);
            params.partial_sums.store(2 * state + 1, piece.sum);
        }
    }
}

/// Announces that this split has finished; whether it was the last. The last sets the count back for the next launch.
///
/// # Safety
/// As [`write`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn is_last<G: Shape>(params: &Params, task: &Task) -> bool {
    let verdict = Shared::<u32>::at(G::PLAN.origins);
    let counter = u64::from(task.sequence * grid_y() + block_y());
    // All partial results of the block stand before its arrival is announced.
    barrier::block_sync();
    if thread_index() == 0 {
        // SAFETY: the counter is one of the launch's, and is zero between launches; the origins are not needed
        // any more.
        unsafe {
            let before = atomic::fetch_add_acq_rel(params.arrivals, counter, 1);
            if before + 1 == task.splits {
                params.arrivals.store(counter, 0);
            }
            verdict.store(0, before + 1);
        }
    }
    barrier::block_sync();
    // SAFETY: written above by thread 0.
    unsafe { verdict.load(0) == task.splits }
}

/// A piece of all splits, merged in their order.
///
/// # Safety
/// As [`write`], and every split has arrived.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn merge<G: Shape>(params: &Params, task: &Task, target: &Target) -> Piece {
    let outputs = Global::<[u32; 4]>::at(params.partial_output.address());
    let mut merged = Piece::NOTHING;
    for split in 0..task.splits {
        let state = target.state(params, split);
        // SAFETY: the caller's promise; the index lies in the arrays of all splits, rows and heads.
        let (maximum, sum, items) = unsafe {
            (
                params.partial_sums.load(2 * state),
                params.partial_sums.load(2 * state + 1),
                [0, 1].map(|half| outputs.load(target.word::<G>(state, half))),
            )
        };
        let raised = merged.maximum.max(maximum);
        let reference = super::online::finite(raised);
        let (old, new) = (math::exp2(merged.maximum - reference), math::exp2(maximum - reference));
        merged.maximum = raised;
        merged.sum = merged.sum * old + sum * new;
        for half in 0..2 {
            for i in 0..HALF {
                merged.items[half][i] = merged.items[half][i] * old + f32::from_bits(items[half][i]) * new;
            }
        }
    }
    merged
}
