//! Workloads: the problems that are tuned and benchmarked, as data.

mod attention;
mod built_in;
mod problem;
mod random;
mod score;
mod select;

use dustin::{
    Dtype,
    geometry::{self, Geometry},
    kv::{KvLayout, PagedKv},
};

pub use self::{
    attention::AttentionShape,
    built_in::{built_in, defaults, named},
    problem::Problem,
    random::{Bounds, random},
    score::ScoreShape,
    select::SelectShape,
};

/// A workload that cannot be: an unknown name, or an impossible shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(String);

/// What a workload is made of, in the terms of a serving engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Attention.
    Attention(AttentionShape),
    /// Scoring.
    Score(ScoreShape),
    /// Selection.
    Select(SelectShape),
}

/// What attention and scoring read: a model's caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// The model.
    pub model: &'static str,
    /// Sequences.
    pub batch: u32,
    /// Confirmed tokens of each sequence.
    pub context: u32,
    /// Tokens in a page.
    pub page_size: u32,
    /// Order of a page's items.
    pub layout: KvLayout,
    /// Element type.
    pub dtype: Dtype,
    /// Tensor-parallel ranks.
    pub tp: u32,
}

/// A named problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Name in tables.
    pub name: String,
    /// What it is made of.
    pub shape: Shape,
    /// What the host asks of a device.
    pub problem: Problem,
}

impl Workload {
    /// The problem of `shape`.
    ///
    /// # Errors
    /// The shape is impossible.
    pub fn new(name: String, shape: impl Into<Shape>) -> Result<Self, Impossible> {
        let shape = shape.into();
        let refuse = |reason: String| Impossible(format!("workload {name}: {reason}"));
        let problem = match &shape {
            Shape::Attention(shape) => shape.problem().map(Problem::Attention),
            Shape::Score(shape) => shape.problem().map(Problem::Score),
            Shape::Select(shape) => shape.problem().map(Problem::Select),
        };
        let problem = problem.map_err(refuse)?;
        problem.validate().map_err(|error| refuse(error.to_string()))?;
        Ok(Self { name, shape, problem })
    }

    /// Confirmed tokens of each sequence.
    #[must_use]
    pub const fn context(&self) -> u32 {
        match self.shape {
            Shape::Attention(shape) => shape.cache.context,
            Shape::Score(shape) => shape.cache.context,
            Shape::Select(shape) => shape.context,
        }
    }

    /// The shape in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.shape {
            Shape::Attention(shape) => shape.to_string(),
            Shape::Score(shape) => shape.to_string(),
            Shape::Select(shape) => shape.to_string(),
        }
    }
}

impl From<AttentionShape> for Shape {
    fn from(shape: AttentionShape) -> Self {
        Self::Attention(shape)
    }
}

impl From<ScoreShape> for Shape {
    fn from(shape: ScoreShape) -> Self {
        Self::Score(shape)
    }
}

impl From<SelectShape> for Shape {
    fn from(shape: SelectShape) -> Self {
        Self::Select(shape)
    }
}

impl CacheShape {
    /// The heads of a rank.
    fn local(&self) -> Result<Geometry, String> {
        geometry::preset(self.model)
            .ok_or_else(|| format!("the model {} is not known", self.model))?
            .local(self.tp)
            .ok_or_else(|| format!("the heads of {} cannot be divided among {} ranks", self.model, self.tp))
    }

    /// The cache of a rank and the width of its block tables, with room for `rows` tokens behind the confirmed ones.
    fn cache(&self, rows: u32) -> Result<(PagedKv, u32), String> {
        let Geometry { kv_heads, head_dim, .. } = self.local()?;
        let tokens = u64::from(self.context) + u64::from(rows);
        let table_width = tokens.div_ceil(u64::from(self.page_size.max(1)));
        let pages = table_width * u64::from(self.batch);
        let pages = i32::try_from(pages).map(i32::cast_unsigned).map_err(|_| {
            format!(
                "its cache would have {pages} pages, more than {}; choose a smaller --batch or --context, or larger \
                 pages",
                i32::MAX
            )
        })?;
        let kv = PagedKv::dense(self.layout, pages, self.page_size, kv_heads, head_dim);
        Ok((kv, u32::try_from(table_width).unwrap_or(u32::MAX)))
    }

    /// Model, batch and context in words.
    fn head(&self) -> String {
        let Self { model, batch, context, tp, .. } = self;
        let tp = if *tp == 1 { String::new() } else { format!(", TP {tp}") };
        format!("{model}{tp}, batch {batch} x {context}")
    }

    /// Pages and element type in words.
    fn tail(&self) -> String {
        let (dtype, layout) = (dtype_name(self.dtype), layout_name(self.layout));
        format!("page {} {layout}, {dtype}", self.page_size)
    }
}

/// The name of the built-in model called `name`, as its checkpoints spell it.
///
/// # Errors
/// There is none.
pub fn model(name: &str) -> Result<&'static str, Impossible> {
    match geometry::PRESETS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((known, _)) => Ok(known),
        None => {
            let known: Vec<&str> = geometry::PRESETS.iter().map(|(known, _)| *known).collect();
            Err(Impossible(format!(
                "--model {name}: this model is not known; the known ones are {}",
                known.join(", ")
            )))
        }
    }
}

/// The element type, as people write it.
#[must_use]
pub const fn dtype_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bf16 => "bf16",
        Dtype::F16 => "f16",
    }
}

/// The layout, as people write it.
#[must_use]
pub const fn layout_name(layout: KvLayout) -> &'static str {
    match layout {
        KvLayout::Nhd => "NHD",
        KvLayout::Hnd => "HND",
    }
}

/// `count` and what is counted, in the plural unless it is one.
#[must_use]
pub fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests;
