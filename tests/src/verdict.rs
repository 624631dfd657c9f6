//! The verdict on what a back end gave for an input.

use dustin::attention::{
    arrays::{LogBase, OutputType},
    compare::{Figures, Output, compare_lse, compare_output},
    reference::Reference,
    synthetic::{AttentionInput, NAN},
};
use dustin_kernels::fault::Fault;

/// What outputs hold before a launch: a NaN that no computation gives.
pub const POISON: f32 = f32::from_bits(0x7fc0_dead);

/// A back end's output, strided as the input asks for.
#[derive(Clone, Debug)]
pub enum Items {
    /// 16-bit items.
    Rounded(Vec<u16>),
    /// fp32 items.
    F32(Vec<f32>),
}

impl Items {
    /// An output of `len` items that holds nothing but poison.
    #[must_use]
    pub fn poison(output_type: OutputType, len: usize) -> Self {
        match output_type {
            OutputType::Rounded => Self::Rounded(vec![NAN; len]),
            OutputType::F32 => Self::F32(vec![POISON; len]),
        }
    }

    /// The output as the comparison reads it.
    #[must_use]
    pub fn view(&self) -> Output<'_> {
        match self {
            Self::Rounded(items) => Output::Rounded(items),
            Self::F32(items) => Output::F32(items),
        }
    }

    /// The items' bits.
    #[must_use]
    pub fn bits(&self) -> Vec<u32> {
        match self {
            Self::Rounded(items) => items.iter().map(|&bits| bits.into()).collect(),
            Self::F32(items) => items.iter().map(|x| x.to_bits()).collect(),
        }
    }

    fn is_poison(&self, index: usize) -> bool {
        match self {
            Self::Rounded(items) => items[index] == NAN,
            Self::F32(items) => items[index].to_bits() == POISON.to_bits(),
        }
    }
}

/// What a back end gave.
#[derive(Clone, Debug)]
pub struct Attended {
    /// The output.
    pub output: Items,
    /// The log-sum-exp, if asked for.
    pub lse: Option<Vec<f32>>,
    /// The status word.
    pub status: u64,
}

/// Judges what a back end gave: outputs, log-sum-exps, status word, and that nothing else was written.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn judge(
    input: &AttentionInput,
    reference: &Reference,
    attended: &Attended,
    base: LogBase,
) -> Result<Figures, String> {
    if attended.status != reference.status {
        let name = |word| match Fault::parse(word) {
            Some((fault, sequence)) => format!("{fault:?} of sequence {sequence}"),
            None => format!("{word:#x}"),
        };
        return Err(format!("status: {} instead of {}", name(attended.status), name(reference.status)));
    }
    let problem = &input.problem;
    let figures = compare_output(problem, &input.arrays(), reference, attended.output.view())
        .map_err(|mismatch| mismatch.to_string())?;
    if let Some(at) = written_elsewhere(input, reference, &attended.output) {
        return Err(format!("item {at} of the output belongs to no row, but was written"));
    }
    if let Some(lse) = &attended.lse {
        compare_lse(problem, reference, lse, base).map_err(|mismatch| mismatch.to_string())?;
        let heads = problem.query_heads as usize;
        let stray = |(i, x): (usize, &f32)| !reference.owned[i / heads] && x.to_bits() != POISON.to_bits();
        if let Some(at) = lse.iter().enumerate().position(stray) {
            return Err(format!("log-sum-exp {at} belongs to no row, but was written"));
        }
    }
    Ok(figures)
}

/// The first item outside the rows of any sequence that is not poison any more.
fn written_elsewhere(input: &AttentionInput, reference: &Reference, output: &Items) -> Option<usize> {
    let mut may_be_written = vec![false; input.output_items()];
    let (row_stride, head_stride) = (input.strides.output_row as usize, input.strides.output_head as usize);
    for row in (0..reference.owned.len()).filter(|&row| reference.owned[row]) {
        for head in 0..input.problem.query_heads as usize {
            let at = row * row_stride + head * head_stride;
            may_be_written[at..at + input.problem.kv.head_dim as usize].fill(true);
        }
    }
    (0..may_be_written.len()).find(|&at| !may_be_written[at] && !output.is_poison(at))
}
