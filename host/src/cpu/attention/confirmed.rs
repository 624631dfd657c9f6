//! The confirmed tokens that a KV head of a sequence reads, by index.

use dustin_kernels::{attention::params::EVERYTHING, fault::Fault};

use super::sequence::{Report, Sequence};
use crate::attention::{
    arrays::AttentionArrays,
    problem::{AttentionProblem, Confirmed, Entries, Sets},
};

/// How an index becomes a token.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// The first tokens up to `sinks`, then those that are `skip` further.
    Computed { sinks: u32, skip: u32 },
    /// The set's entries, from item `first` of their array on.
    Listed { sets: Sets, first: usize },
}

/// The tokens of one KV head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens {
    /// How many there are.
    pub(super) count: u32,
    rule: Rule,
}

impl Tokens {
    /// Those of `sequence` for `kv_head`; none where the sequence's length is negative.
    pub(super) fn new(
        problem: &AttentionProblem,
        arrays: &AttentionArrays<'_>,
        sequence: &Sequence,
        kv_head: u32,
        report: Report<'_>,
    ) -> Self {
        let length = sequence.length.unwrap_or(0);
        let (sinks, recent) = match problem.confirmed {
            Confirmed::Everything => (0, u32::MAX),
            Confirmed::Window { sinks, recent } => (sinks, recent),
            Confirmed::Sets(sets) => match set_size(problem, arrays, sequence.index, kv_head) {
                EVERYTHING => (0, u32::MAX),
                size => {
                    let kv_head = if sets.per_kv_head { u64::from(kv_head) } else { 0 };
                    let strides = &arrays.strides;
                    let first = u64::from(sequence.index) * strides.set + kv_head * strides.set_head;
                    let listed = size.max(0).cast_unsigned().min(sets.capacity);
                    let count = if sequence.length.is_some() { listed } else { 0 };
                    return Self { count, rule: Rule::Listed { sets, first: first as usize } };
                }
            },
        };
        let tokens = length.min(sinks.saturating_add(recent));
        // What lies behind the table is not looked at one by one, however long a length may claim to be.
        let room = problem.table_tokens();
        let first = sinks.min(tokens);
        let count = first.min(room) + (tokens - first).saturating_sub(length.saturating_sub(room));
        if count < tokens && sequence.rows > 0 {
            report(Fault::Length.word(sequence.index));
        }
        Self { count, rule: Rule::Computed { sinks, skip: length - tokens } }
    }

    /// Item offset, without the KV head, of token `index`; nothing if it is masked.
    pub(super) fn get(
        &self,
        problem: &AttentionProblem,
        arrays: &AttentionArrays<'_>,
        sequence: &Sequence,
        index: u32,
        report: Report<'_>,
    ) -> Option<u64> {
        let (sets, first) = match self.rule {
            Rule::Computed { sinks, skip } => {
                let position = if index < sinks { index } else { index + skip };
                return sequence.token(problem, arrays, position, report);
            }
            Rule::Listed { sets, first } => (sets, first),
        };
        let entry = i64::from(arrays.set[first + (index / sets.block) as usize]);
        let named = u32::try_from(entry * i64::from(sets.block) + i64::from(index % sets.block)).ok();
        match (sets.entries, named) {
            (Entries::Positions, Some(position))
                if sequence.length.is_some_and(|length| position < length) =>
            {
                sequence.token(problem, arrays, position, report)
            }
            (Entries::Positions, _) => {
                report(Fault::Position.word(sequence.index));
                None
            }
            (Entries::Slots, Some(slot)) if slot / problem.kv.page_size < problem.kv.pages => {
                Some(problem.kv.offset(slot / problem.kv.page_size, slot % problem.kv.page_size, 0))
            }
            (Entries::Slots, _) => {
                report(Fault::Page.word(sequence.index));
                None
            }
        }
    }
}

/// The size of a KV head's set as the arrays have it.
fn set_size(problem: &AttentionProblem, arrays: &AttentionArrays<'_>, sequence: u32, kv_head: u32) -> i32 {
    let sets = problem.sets_per_sequence();
    arrays.set_sizes[sequence as usize * sets as usize + kv_head.min(sets - 1) as usize]
}

/// Reports sizes of the sequence's sets that are negative or above the capacity.
pub(super) fn check_sizes(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    sequence: u32,
    report: Report<'_>,
) {
    let Some(sets) = problem.sets() else { return };
    let is_legal = |size| size == EVERYTHING || (0..=i64::from(sets.capacity)).contains(&i64::from(size));
    let heads = 0..problem.sets_per_sequence();
    if !heads.map(|head| set_size(problem, arrays, sequence, head)).all(is_legal) {
        report(Fault::SetSize.word(sequence));
    }
}
