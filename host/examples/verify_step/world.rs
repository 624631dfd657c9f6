//! What an engine has before the step: caches, tables, lengths, queries, rows and scores. All of it synthetic.

use anyhow::ensure;
use dustin::{
    Dtype,
    element::{decode, encode},
    verifier::{Captured, Model, Stages, VerifierProblem},
};
use rand::{SeedableRng as _, seq::SliceRandom as _, seq::index};
use rand_pcg::Pcg64Mcg;

use crate::{
    args::{RECENT, SINKS, Shape},
    needles::{Keys, Needle, Reader},
    tile::{Tile, bf16},
};

/// One model's caches, and the queries that its map is gathered from.
#[derive(Debug)]
pub(crate) struct Side {
    pub model: Model,
    /// Pages of all sequences, in random order.
    pub block_table: Vec<i32>,
    /// Queries of each captured layer and token, `[batch, query_heads, head_dim]`, in the order of layers, then of tokens: of the
    /// target those of the prompt's last row, of the draft those of its forwards.
    pub queries: Vec<Vec<u16>>,
    pub readers: Vec<Reader>,
    pub needles: Vec<Needle>,
}

/// Everything that the step starts from.
#[derive(Debug)]
pub(crate) struct World {
    pub shape: Shape,
    pub problem: VerifierProblem,
    pub stages: Stages,
    pub tile: Tile,
    pub target: Side,
    pub draft: Side,
    /// Confirmed lengths, and the slots of captured queries.
    pub lengths: Vec<i32>,
    pub slots: Vec<i32>,
    /// First rows and first positions of the maps' parts, `[batch + 1]`; and, where each sequence has one row, its number.
    pub row_starts: Vec<i32>,
    pub map_starts: Vec<i32>,
    pub one_row_starts: Vec<i32>,
    /// The step's own rows, the same in all layers.
    pub key: Vec<u16>,
    pub value: Vec<u16>,
    pub query: Vec<u16>,
    /// Tokens of the rows, and how many drafts of each sequence the target agrees with.
    pub tokens: Vec<i32>,
    pub agreed: Vec<u32>,
}

/// The token that the target wants where it disagrees with the draft.
const CORRECTION: i32 = 7;

impl World {
    pub(crate) fn new(shape: &Shape) -> anyhow::Result<Self> {
        let problem = shape.problem();
        let stages = Stages::new(&problem)?;
        let Some(draft) = problem.draft else { unreachable!("the shape's problem has a draft") };
        let mut random = Pcg64Mcg::seed_from_u64(shape.seed);
        let tile = Tile::new(shape.seed);
        let batch = shape.batch;
        let starts = |each: u32| (0..=batch).map(|sequence| (sequence * each) as i32).collect::<Vec<_>>();
        // Keys and values of a target's layer are arrays of the tile side by side, the draft's keys follow.
        let sides = [
            (problem.target, &stages.target_captured, 0, 2),
            (draft.model, &stages.draft_captured, 2 * shape.caches, 1),
        ];
        let [mut target, mut draft] = sides.map(|(model, captured, first_array, key_stride)| {
            Side::new(shape, model, captured, &mut random, (first_array, key_stride))
        });
        let rules = &problem.rules;
        // The most that the sets have room for.
        let room = [rules.k - rules.m - SINKS - RECENT, rules.m];
        let between = shape.context - SINKS - RECENT;
        for sequence in 0..batch {
            let drawn = index::sample(&mut random, between as usize, (room[0] + room[1]) as usize);
            let positions: Vec<u32> = drawn.into_iter().map(|at| at as u32 + SINKS).collect();
            let (of_target, of_draft) = positions.split_at(room[0] as usize);
            target.plant(&tile, shape, sequence, of_target)?;
            draft.plant(&tile, shape, sequence, of_draft)?;
        }

        let rows = (batch * shape.rows()) as usize;
        let token = (target.model.kv.kv_heads * target.model.kv.head_dim) as usize;
        let vocabulary = shape.target.vocabulary as i32;
        ensure!(
            vocabulary > CORRECTION + rows as i32,
            "a vocabulary of {vocabulary} is too small for {rows} rows"
        );
        Ok(Self {
            lengths: vec![shape.context as i32; batch as usize],
            slots: starts(1)[..batch as usize].to_vec(),
            row_starts: starts(shape.rows()),
            map_starts: starts(shape.context),
            one_row_starts: starts(1),
            key: bf16(&mut random, rows * token),
            value: bf16(&mut random, rows * token),
            query: bf16(&mut random, rows * (shape.target.query_heads * shape.target.head_dim) as usize),
            tokens: (0..rows as i32).map(|row| CORRECTION + 1 + row).collect(),
            agreed: (0..batch).map(|sequence| sequence % shape.rows()).collect(),
            shape: shape.clone(),
            problem,
            stages,
            tile,
            target,
            draft,
        })
    }

    /// The tile's arrays that are the keys and the values of a target's layer.
    pub(crate) const fn target_arrays(layer: u32) -> [u32; 2] {
        [2 * layer, 2 * layer + 1]
    }

    /// The tile's array that is the keys of a draft's layer.
    pub(crate) const fn draft_array(&self, layer: u32) -> u32 {
        2 * self.shape.caches + layer
    }

    /// Layers of the draft whose keys are read.
    pub(crate) fn draft_layers(&self) -> u32 {
        self.stages.draft_captured.layers.iter().map(|own| own.layer + 1).max().unwrap_or(0)
    }

    /// The token that the target's scores are greatest for in each row: the next draft, as far as it agrees.
    pub(crate) fn best(&self) -> impl Iterator<Item = i32> {
        let rows = self.shape.rows();
        (0..self.tokens.len() as u32).map(move |row| {
            let agrees = row % rows < self.agreed[(row / rows) as usize];
            if agrees { self.tokens[row as usize + 1] } else { CORRECTION }
        })
    }

    /// The target's logits of the rows, `[batch · rows, vocabulary]`, piece by piece: those of the tile but for one in each row.
    pub(crate) fn logits<E>(&self, mut put: impl FnMut(usize, &[u16]) -> Result<(), E>) -> Result<(), E> {
        let vocabulary = self.shape.target.vocabulary as usize;
        self.tile.fill(0, vocabulary * self.tokens.len(), &mut put)?;
        let best = encode(Dtype::Bf16, 8.0);
        self.best().enumerate().try_for_each(|(row, token)| put(row * vocabulary + token as usize, &[best]))
    }

    /// What each sequence has to emit: the drafts agreed on, and what the target wants behind them; -1 behind that.
    pub(crate) fn emitted(&self) -> Vec<i32> {
        let rows = self.shape.rows();
        let of_row = |(row, token)| if row % rows <= self.agreed[(row / rows) as usize] { token } else { -1 };
        (0..).zip(self.best()).map(of_row).collect()
    }
}

impl Side {
    fn new(
        shape: &Shape,
        model: Model,
        captured: &Captured,
        random: &mut Pcg64Mcg,
        (first_array, key_stride): (u32, u32),
    ) -> Self {
        let geometry = model.share.geometry();
        let mut block_table: Vec<i32> = (0..(shape.batch * shape.pages()) as i32).collect();
        block_table.shuffle(random);
        let row = (geometry.query_heads * geometry.head_dim) as usize;
        let mut queries = Vec::new();
        let mut readers = Vec::new();
        let weight = 1.0 / f64::from(captured.heads() * captured.tokens);
        for own in &captured.layers {
            for _ in 0..captured.tokens {
                let rows = bf16(random, shape.batch as usize * row);
                for (sequence, query) in (0..).zip(rows.chunks(row)) {
                    readers.extend(own.heads.iter().map(|&head| {
                        let items =
                            &query[(head * geometry.head_dim) as usize..][..geometry.head_dim as usize];
                        Reader {
                            layer: own.layer,
                            array: first_array + key_stride * own.layer,
                            sequence,
                            kv_head: head / geometry.group(),
                            weight,
                            query: items.iter().map(|&bits| decode(Dtype::Bf16, bits)).collect(),
                        }
                    }));
                }
                queries.push(rows);
            }
        }
        Self { model, block_table, queries, readers, needles: Vec::new() }
    }

    /// The queries of captured token `token` of captured layer `place`.
    pub(crate) fn queries(&self, captured: &Captured, place: usize, token: u32) -> &[u16] {
        &self.queries[place * captured.tokens as usize + token as usize]
    }

    /// The model's keys, needles aside.
    pub(crate) fn keys<'a>(&'a self, tile: &'a Tile, shape: &Shape) -> Keys<'a> {
        Keys {
            tile,
            kv: &self.model.kv,
            table: &self.block_table,
            width: shape.pages(),
            context: shape.context,
            scale: self.model.scale,
        }
    }

    /// Needles at `positions` of `sequence`, dealt out among its readers: to each as many, or one to the first of them.
    fn plant(&mut self, tile: &Tile, shape: &Shape, sequence: u32, positions: &[u32]) -> anyhow::Result<()> {
        let own: Vec<&Reader> = self.readers.iter().filter(|reader| reader.sequence == sequence).collect();
        let each = (positions.len() / own.len()).clamp(1, 2);
        let dealt: Vec<(&Reader, &[u32])> = own.into_iter().zip(positions.chunks(each)).collect();
        let planted = self.keys(tile, shape).plant(&dealt)?;
        self.needles.extend(planted);
        Ok(())
    }

    /// The needles of layer `layer`.
    pub(crate) fn needles_of(&self, layer: u32) -> impl Iterator<Item = &Needle> {
        self.needles.iter().filter(move |needle| needle.layer == layer)
    }
}
