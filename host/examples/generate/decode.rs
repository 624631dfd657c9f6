//! Decoding: token by token, and speculatively with sparse verification.

use anyhow::{Context as _, ensure};
use dustin::{
    accept::arrays::{AcceptOutput, AcceptStrides, ScoreItems},
    cpu::{AcceptanceArrays, CaptureRowArrays, CpuVerifier, SetArrays, StepArrays},
    select::arrays::SelectOutput,
};

use crate::{
    pair::Pair,
    rows::Rows,
    runner::{Forward, Reads, Runner},
    sampler::{Sampler, best},
};

/// What acceptance gives of the one sequence.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) accepted: [i32; 1],
    pub(crate) emitted: Vec<i32>,
    pub(crate) path: Vec<i32>,
    pub(crate) last_row: [i32; 1],
    pub(crate) length: [i32; 1],
}

/// What accepts drafts: the library, or what is compared with it.
pub(crate) type Judge =
    fn(&mut CpuVerifier, &StepArrays<'_>, &AcceptanceArrays<'_>, &mut Accepted) -> anyhow::Result<()>;

/// The library's acceptance.
pub(crate) fn library(
    verifier: &mut CpuVerifier,
    step: &StepArrays<'_>,
    arrays: &AcceptanceArrays<'_>,
    found: &mut Accepted,
) -> anyhow::Result<()> {
    let output = AcceptOutput {
        accepted: &mut found.accepted,
        emitted: &mut found.emitted,
        path: &mut found.path,
        last_rows: &mut found.last_row,
        new_lengths: Some(&mut found.length),
    };
    Ok(verifier.accept(step, arrays, output)?)
}

/// What speculative decoding has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// The new tokens.
    pub(crate) tokens: Vec<i32>,
    pub(crate) steps: usize,
    /// Drafts that were accepted.
    pub(crate) accepted: usize,
    /// Confirmed tokens that verification has read, and all that there were, summed over the steps.
    pub(crate) read: usize,
    pub(crate) confirmed: usize,
}

/// `count` tokens behind `prompt`, greedily, one forward for each.
pub(crate) fn plain(runner: &mut Runner, prompt: &[i32], count: usize) -> anyhow::Result<Vec<i32>> {
    let (&last, confirmed) = prompt.split_last().context("an empty prompt")?;
    runner.prefill(confirmed)?;
    let (mut token, mut tokens) = (last, Vec::new());
    for _ in 0..count {
        let Forward { logits, .. } = runner.forward(&Rows::chain(&[token]), Reads::Everything)?;
        runner.length += 1;
        token = best(&logits[..runner.model.geometry.vocabulary as usize]) as i32;
        tokens.push(token);
    }
    Ok(tokens)
}

/// How many of `tokens` are what the whole context gives behind the tokens before them.
pub(crate) fn agreed(runner: &mut Runner, prompt: &[i32], tokens: &[i32]) -> anyhow::Result<usize> {
    let (&last, confirmed) = prompt.split_last().context("an empty prompt")?;
    runner.prefill(confirmed)?;
    let inputs: Vec<i32> = std::iter::once(last).chain(tokens.iter().copied()).collect();
    let (capacity, vocabulary) = (runner.capacity(), runner.model.geometry.vocabulary as usize);
    let mut agreed = 0;
    for (inputs, tokens) in inputs[..tokens.len()].chunks(capacity).zip(tokens.chunks(capacity)) {
        let forward = runner.forward(&Rows::chain(inputs), Reads::Everything)?;
        runner.length += inputs.len();
        let rows = forward.logits.chunks(vocabulary).zip(tokens);
        agreed += rows.filter(|(logits, token)| best(logits) as i32 == **token).count();
    }
    Ok(agreed)
}

impl Pair {
    /// Confirms `prompt` but for its last token, which is pending then.
    pub(crate) fn begin(&mut self, prompt: &[i32]) -> anyhow::Result<()> {
        let (_, confirmed) = prompt.split_last().context("an empty prompt")?;
        if let Some((rows, forward)) = self.target.prefill(confirmed)? {
            self.capture_target(&forward, rows, rows as i32 - 1)?;
        }
        Ok(())
    }

    /// At least `count` tokens behind `prompt`, of which the rest is cut off.
    pub(crate) fn decode(
        &mut self,
        prompt: &[i32],
        count: usize,
        sampler: &mut Sampler,
        judge: Judge,
    ) -> anyhow::Result<Decoded> {
        self.begin(prompt)?;
        let (mut done, mut tokens) = (Decoded::default(), prompt.to_vec());
        while tokens.len() < prompt.len() + count {
            self.step(&mut tokens, sampler, judge, &mut done)?;
        }
        done.tokens = tokens[prompt.len()..][..count].to_vec();
        Ok(done)
    }

    /// One step behind `tokens`, the last of which is pending; adds what it emits.
    pub(crate) fn step(
        &mut self,
        tokens: &mut Vec<i32>,
        sampler: &mut Sampler,
        judge: Judge,
        done: &mut Decoded,
    ) -> anyhow::Result<()> {
        let length = self.target.length;
        ensure!(tokens.len() == length + 1, "{} tokens behind {length} confirmed ones", tokens.len());
        // The draft has not seen what it did not propose.
        self.draft.prefill(&tokens[self.draft.length..length])?;
        let (rows, draft_logits) = self.propose(tokens[length], sampler)?;
        // The target's map does not depend on the draft: on a GPU it is gathered meanwhile.
        let (set, size) = self.select(&rows)?;
        let sets = SetArrays { set: &set, set_sizes: &[size] };
        let forward = self.target.forward(&rows, Reads::Set(sets))?;
        let found = self.accept(&rows, &forward, &draft_logits, sampler, done.steps as u64, judge)?;
        if self.options.tree {
            let step = self.target.step(&rows);
            self.target.compact(&step, &found.path)?;
        }
        self.capture_target(&forward, rows.len(), found.last_row[0])?;

        self.target.length = found.length[0] as usize;
        // Of what was accepted the draft has the candidates that it went on from: the first of each level.
        let width = self.options.width();
        let went_on = |(level, &row): (usize, &i32)| row == 1 + (level * width) as i32;
        let own = found.path[1..].iter().enumerate().take_while(|&place| went_on(place)).count();
        self.draft.length = length + 1 + own.min(self.options.gamma as usize - 1);
        tokens.extend(found.emitted.iter().take_while(|&&token| token >= 0));
        done.steps += 1;
        done.accepted += found.accepted[0] as usize;
        done.read += usize::try_from(size).unwrap_or(length);
        done.confirmed += length;
        Ok(())
    }

    /// The rows to verify, and the logits that they were drawn from: γ forwards of the draft, whose queries are captured.
    fn propose(&mut self, pending: i32, sampler: &mut Sampler) -> anyhow::Result<(Rows, Vec<f32>)> {
        let vocabulary = self.draft.model.geometry.vocabulary as usize;
        let (mut token, mut levels, mut logits) = (pending, Vec::new(), Vec::new());
        for forward in 0..self.options.gamma {
            let done = self.draft.forward(&Rows::chain(&[token]), Reads::Everything)?;
            self.draft.length += 1;
            for (layer, query) in (0..).zip(&done.queries) {
                let rows = capture_rows(&self.draft, query, [0, 1], None);
                self.target.verifier.capture_draft(layer, forward, &rows.get(), &mut self.draft_queries)?;
            }
            let candidates = sampler.candidates(&done.logits[..vocabulary], self.options.width());
            token = candidates[0];
            levels.push(candidates);
            logits.extend_from_slice(&done.logits[..vocabulary]);
        }
        Ok((Rows::drafted(pending, &levels), logits))
    }

    /// The verification set and its size.
    fn select(&mut self, rows: &Rows) -> anyhow::Result<(Vec<i32>, i32)> {
        let (step, sizes) = (self.target.step(rows), self.target.verifier.sizes());
        let arrays = step.arrays(&self.target.block_table, &self.draft.block_table);
        let verifier = &mut self.target.verifier;
        let [mut target, mut draft] = [sizes.target_map, sizes.draft_map].map(|len| vec![0.0; len as usize]);
        verifier.score_target(&arrays, &self.target_queries, &slices(&self.target.keys), &mut target)?;
        verifier.score_draft(&arrays, &self.draft_queries, &slices(&self.draft.keys), &mut draft)?;
        let (mut set, mut set_sizes) = (vec![-1; sizes.set as usize], [0]);
        let output = SelectOutput { set: &mut set, physical: None, set_sizes: &mut set_sizes };
        verifier.select(&arrays, Some(&target), Some(&draft), output)?;
        Ok((set, set_sizes[0]))
    }

    fn accept(
        &mut self,
        rows: &Rows,
        forward: &Forward,
        draft_logits: &[f32],
        sampler: &Sampler,
        step: u64,
        judge: Judge,
    ) -> anyhow::Result<Accepted> {
        let (own, capacity) = (self.target.step(rows), self.target.capacity());
        let padded = |items: &[i32]| {
            let mut items = items.to_vec();
            items.resize(capacity, -1);
            items
        };
        let (tokens, parents) = (padded(&rows.tokens), padded(&rows.parents));
        // The first candidate of each level, and the pending token, have candidates behind them.
        let mut draft_rows = vec![-1; capacity];
        for level in 0..self.options.gamma as usize {
            let width = self.options.width();
            draft_rows[if level == 0 { 0 } else { 1 + (level - 1) * width }] = level as i32;
        }
        let Some(problem) = &self.target.stages.acceptance else {
            unreachable!("the pair's problem accepts")
        };
        let tree = self.options.tree;
        let arrays = AcceptanceArrays {
            target: ScoreItems::F32(&forward.logits),
            draft: Some(ScoreItems::F32(draft_logits)),
            draft_rows: tree.then_some(&draft_rows),
            tokens: &tokens,
            parents: tree.then_some(&parents),
            temperatures: &[sampler.temperature],
            seeds: &[sampler.seed],
            step,
            strides: AcceptStrides::dense(problem),
        };
        let unwritten = vec![-1; capacity];
        let mut found = Accepted {
            accepted: [0],
            emitted: unwritten.clone(),
            path: unwritten,
            last_row: [-1],
            length: [0],
        };
        let verifier = &mut self.target.verifier;
        judge(verifier, &own.arrays(&self.target.block_table, &[]), &arrays, &mut found)?;
        Ok(found)
    }

    /// Captures the queries of row `row` of `rows`: the last confirmed token's.
    fn capture_target(&mut self, forward: &Forward, rows: usize, row: i32) -> anyhow::Result<()> {
        let Self { target, target_queries, .. } = self;
        for (layer, query) in (0..).zip(&forward.queries) {
            let captured = capture_rows(target, query, [0, rows as i32], Some([row]));
            target.verifier.capture_target(layer, &captured.get(), target_queries)?;
        }
        Ok(())
    }
}

fn slices(layers: &[Vec<u16>]) -> Vec<&[u16]> {
    layers.iter().map(Vec::as_slice).collect()
}

/// A layer's queries, of which some are captured.
struct CaptureRows<'a> {
    query: &'a [u16],
    query_heads: u32,
    head_dim: u32,
    total_rows: u32,
    row_starts: [i32; 2],
    row: Option<[i32; 1]>,
}

fn capture_rows<'a>(
    runner: &Runner,
    query: &'a [u16],
    row_starts: [i32; 2],
    row: Option<[i32; 1]>,
) -> CaptureRows<'a> {
    let geometry = runner.model.geometry;
    let (query_heads, head_dim) = (geometry.query_heads, geometry.head_dim);
    CaptureRows { query, query_heads, head_dim, total_rows: runner.capacity() as u32, row_starts, row }
}

impl CaptureRows<'_> {
    fn get(&self) -> CaptureRowArrays<'_> {
        CaptureRowArrays {
            query: self.query,
            query_row: (self.query_heads * self.head_dim).into(),
            query_head: self.head_dim.into(),
            total_rows: self.total_rows,
            row_starts: &self.row_starts,
            rows: self.row.as_ref().map(<[i32; 1]>::as_slice),
            slots: None,
        }
    }
}
