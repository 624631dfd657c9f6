//! Whether sampled tokens are distributed as the target's: Pearson's chi-square test of the first two tokens behind a prompt against
//! what the target alone says of them.

use anyhow::Context as _;

use crate::{
    decode::{Decoded, Judge},
    model::Model,
    pair::{Options, Pair, alone},
    rows::Rows,
    runner::{Reads, Runner},
    sampler::{Sampler, probabilities},
};

/// The quantile of the normal distribution that is exceeded with probability 10^-6.
const QUANTILE: f64 = 4.753_424;

/// Cells of fewer expected draws than this are taken together.
const LEAST: f64 = 5.0;

/// How far counts are from what is expected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChiSquare {
    pub(crate) statistic: f64,
    /// What it exceeds by chance with probability 10^-6, as Wilson and Hilferty approximate it.
    pub(crate) bound: f64,
}

impl ChiSquare {
    fn new(expected: &[f64], counts: &[usize]) -> Self {
        let (mut statistic, mut cells, mut rest) = (0.0, 0.0, (0.0, 0.0));
        let mut add = |expected: f64, count: f64| {
            statistic += (count - expected).powi(2) / expected;
            cells += 1.0;
        };
        for (&expected, &count) in expected.iter().zip(counts) {
            if expected < LEAST {
                rest = (rest.0 + expected, rest.1 + count as f64);
            } else {
                add(expected, count as f64);
            }
        }
        if rest.0 > 0.0 {
            add(rest.0, rest.1);
        }
        let freedom = f64::max(cells - 1.0, 1.0);
        let part = 2.0 / (9.0 * freedom);
        Self { statistic, bound: freedom * (1.0 - part + QUANTILE * part.sqrt()).powi(3) }
    }

    /// Whether the counts may be of the distribution. NaN may not.
    pub(crate) fn holds(&self) -> bool {
        self.statistic <= self.bound
    }
}

/// The first and the second token behind `prompt`, drawn `draws` times at `temperature` and accepted by `judge`.
pub(crate) fn law(
    model: &Model,
    options: Options,
    prompt: &[i32],
    temperature: f32,
    draws: u32,
    judge: Judge,
) -> anyhow::Result<[ChiSquare; 2]> {
    let laws = exact(&mut alone(model.clone(), &options)?, prompt, temperature)?;
    let mut pair = Pair::new(model, options)?;
    pair.begin(prompt)?;
    pair.draft.prefill(&prompt[..prompt.len() - 1])?;
    let (length, queries) = (pair.target.length, pair.target_queries.clone());
    let mut counts = laws.each_ref().map(|law| vec![0; law.len()]);
    for seed in 0..u64::from(draws) {
        // What stands behind the confirmed tokens is written anew.
        (pair.target.length, pair.draft.length) = (length, length);
        pair.target_queries.copy_from_slice(&queries);
        let (mut tokens, mut done) = (prompt.to_vec(), Decoded::default());
        let mut sampler = Sampler::new(temperature, seed);
        while tokens.len() < prompt.len() + counts.len() {
            pair.step(&mut tokens, &mut sampler, judge, &mut done)?;
        }
        for (counts, &token) in counts.iter_mut().zip(&tokens[prompt.len()..]) {
            counts[token as usize] += 1;
        }
    }
    let judged = |place: usize| {
        let expected: Vec<f64> = laws[place].iter().map(|p| p * f64::from(draws)).collect();
        ChiSquare::new(&expected, &counts[place])
    };
    Ok([judged(0), judged(1)])
}

/// The distribution of the first and of the second token behind `prompt`, by the target alone.
fn exact(runner: &mut Runner, prompt: &[i32], temperature: f32) -> anyhow::Result<[Vec<f64>; 2]> {
    let (&pending, confirmed) = prompt.split_last().context("an empty prompt")?;
    runner.prefill(confirmed)?;
    let vocabulary = runner.model.geometry.vocabulary as usize;
    let mut behind = |rows: &[i32]| -> anyhow::Result<Vec<f64>> {
        let forward = runner.forward(&Rows::chain(rows), Reads::Everything)?;
        let last = &forward.logits[(rows.len() - 1) * vocabulary..][..vocabulary];
        Ok(probabilities(last, temperature))
    };
    let first = behind(&[pending])?;
    let mut second = vec![0.0; vocabulary];
    for (token, p) in (0..).zip(&first) {
        let given = behind(&[pending, token])?;
        second.iter_mut().zip(given).for_each(|(sum, q)| *sum += p * q);
    }
    Ok([first, second])
}
