//! What a candidate's results are judged by: the reference, on a small awkward problem and on the timed one, of which it
//! computes samples where all of it would take too long. Whatever the reference does not say of the timed one must at least be
//! written, and numbers; and nothing else may be written, neither in the gaps of an array nor beside it.

mod attention;
mod score;
mod select;
mod written;

pub(crate) use self::{
    attention::{AttentionCase, AttentionWritten},
    score::{ScoreCase, ScoreWritten},
    select::{SelectCase, SelectWritten},
    written::{Guarded, Written},
};

/// An input, and what judges its results.
pub(crate) trait Case {
    /// What a candidate writes.
    type Written: Written;

    /// The arrays before a candidate writes them.
    fn unwritten(&self) -> Self::Written;

    /// Judges what a candidate wrote into such arrays.
    ///
    /// # Errors
    /// What is wrong.
    fn judge(&self, written: &Self::Written) -> Result<(), String>;
}

/// The most sequences of a timed problem that an f64 reference computes: it is slow, and a variant treats all sequences
/// alike.
const SAMPLES: usize = 4;

/// The sequences that are computed, spread over the batch.
fn samples(batch: u32) -> Vec<usize> {
    let batch = batch as usize;
    spread(batch.min(SAMPLES), batch).collect()
}

/// `count` of the numbers below `of`, evenly spread, the first and the last among them; all, where there are no more.
fn spread(count: usize, of: usize) -> impl Iterator<Item = usize> {
    let count = count.min(of);
    (0..count).map(move |sample| if count == 1 { 0 } else { sample * (of - 1) / (count - 1) })
}
