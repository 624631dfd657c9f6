//! Workloads: the attention problems that are tuned and benchmarked, as data.

use dustin::{
    Dtype,
    attention::problem::AttentionProblem,
    geometry::{self, Geometry},
    kv::{KvLayout, PagedKv},
};

/// A workload that cannot be: an unknown name, or an impossible shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(String);

/// What a workload is made of, in the terms of a serving engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Model whose attention it is.
    pub model: &'static str,
    /// Sequences.
    pub batch: u32,
    /// Confirmed tokens of each sequence.
    pub context: u32,
    /// Query rows of each sequence (γ + 1).
    pub rows: u32,
    /// Confirmed tokens that attention may read per sequence.
    pub k: u32,
    /// Tokens in a page.
    pub page_size: u32,
    /// Order of a page's items.
    pub layout: KvLayout,
    /// Element type.
    pub dtype: Dtype,
    /// Tensor-parallel ranks.
    pub tp: u32,
    /// Whether the log-sum-exp is asked for.
    pub lse: bool,
}

/// A named attention problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Name in tables.
    pub name: String,
    /// What it is made of.
    pub shape: Shape,
    /// What the host asks of a device.
    pub problem: AttentionProblem,
}

/// Qwen2.5-72B verifying 5 rows of 16 sequences of 32,768 tokens with a budget of 512.
const W1: Shape = Shape {
    model: "Qwen2.5-72B",
    batch: 16,
    context: 32_768,
    rows: 5,
    k: 512,
    page_size: 16,
    layout: KvLayout::Nhd,
    dtype: Dtype::Bf16,
    tp: 1,
    lse: false,
};

/// What GPUs are tuned for by default.
const GPU: &[(&str, Shape)] = &[
    ("w1", W1),
    ("w1-rows8", Shape { rows: 8, ..W1 }),
    ("w1-tp4", Shape { tp: 4, ..W1 }),
    ("w1-tp8", Shape { tp: 8, ..W1 }),
    ("w1-k1024", Shape { k: 1024, ..W1 }),
    ("w1-k2048", Shape { k: 2048, ..W1 }),
    ("w1-b1", Shape { batch: 1, ..W1 }),
    ("w1-b4", Shape { batch: 4, ..W1 }),
    ("w1-b8-16k", Shape { batch: 8, context: 16_384, ..W1 }),
    ("w1-b64-8k", Shape { batch: 64, context: 8_192, ..W1 }),
];

/// What CPUs are tuned for by default: small enough for two cores and two minutes.
const CPU: &[(&str, Shape)] = &[
    ("cpu-0.5b", Shape { model: "Qwen2.5-0.5B", batch: 1, context: 4_096, ..W1 }),
    ("cpu-7b", Shape { model: "Qwen2.5-7B", batch: 1, context: 4_096, k: 256, ..W1 }),
    ("cpu-8b-b2", Shape { model: "Llama-3.1-8B", batch: 2, context: 2_048, k: 256, ..W1 }),
];

/// The built-in workloads, those for GPUs first.
pub fn built_in() -> impl Iterator<Item = (&'static str, &'static str, Shape)> {
    let gpu = GPU.iter().map(|&(name, shape)| (name, "GPU", shape));
    gpu.chain(CPU.iter().map(|&(name, shape)| (name, "CPU", shape)))
}

/// The default workloads of GPUs, or of CPUs.
///
/// # Errors
/// None, unless a row of the tables above is impossible.
pub fn defaults(gpu: bool) -> Result<Vec<Workload>, Impossible> {
    let rows = if gpu { GPU } else { CPU };
    rows.iter().map(|&(name, shape)| Workload::new(name.into(), shape)).collect()
}

/// The built-in workload called `name`, whatever its case.
///
/// # Errors
/// There is none.
pub fn named(name: &str) -> Result<Workload, Impossible> {
    match built_in().find(|(known, ..)| known.eq_ignore_ascii_case(name)) {
        Some((known, _, shape)) => Workload::new(known.into(), shape),
        None => Err(Impossible(format!(
            "--workload {name}: there is no such built-in workload; `autotune plan --list-workloads` lists them"
        ))),
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

impl Workload {
    /// The problem of `shape`.
    ///
    /// # Errors
    /// The shape is impossible.
    pub fn new(name: String, shape: Shape) -> Result<Self, Impossible> {
        let refuse = |reason: String| Impossible(format!("workload {name}: {reason}"));
        let Geometry { query_heads, kv_heads, head_dim, .. } = geometry::preset(shape.model)
            .ok_or_else(|| refuse(format!("the model {} is not known", shape.model)))?
            .local(shape.tp)
            .ok_or_else(|| {
                refuse(format!("the heads of {} cannot be divided among {} ranks", shape.model, shape.tp))
            })?;
        let pages = u64::from(shape.context) + u64::from(shape.rows);
        let table_width = pages.div_ceil(u64::from(shape.page_size.max(1)));
        let pages = table_width * u64::from(shape.batch);
        let pages = i32::try_from(pages).map(i32::cast_unsigned).map_err(|_| {
            refuse(format!(
                "its cache would have {pages} pages, more than {}; choose a smaller --batch or --context, or larger \
                 pages",
                i32::MAX
            ))
        })?;
        let table_width = u32::try_from(table_width).unwrap_or(u32::MAX);
        if shape.k > shape.context {
            return Err(refuse(format!(
                "the budget of {} tokens must be at most the context, {} tokens",
                shape.k, shape.context
            )));
        }
        let problem = AttentionProblem {
            batch: shape.batch,
            rows: shape.rows,
            total_rows: shape.batch.saturating_mul(shape.rows),
            set_capacity: shape.k,
            query_heads,
            kv: PagedKv::dense(shape.layout, pages, shape.page_size, kv_heads, head_dim),
            table_width,
            dtype: shape.dtype,
            lse: shape.lse,
        };
        problem.validate().map_err(|error| refuse(error.to_string()))?;
        Ok(Self { name, shape, problem })
    }

    /// The shape in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        let Shape { model, batch, context, rows, k, page_size, tp, lse, .. } = self.shape;
        let (dtype, layout) = (dtype_name(self.shape.dtype), layout_name(self.shape.layout));
        let tp = if tp == 1 { String::new() } else { format!(", TP {tp}") };
        let lse = if lse { ", LSE" } else { "" };
        format!(
            "{model}{tp}, batch {batch} x {context}, {rows} rows, k {k}, page {page_size} {layout}, {dtype}{lse}"
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_workload_is_a_valid_problem() {
        for (name, _, shape) in built_in() {
            let workload = named(name).unwrap();
            assert_eq!(workload.shape, shape);
            assert_eq!(workload.problem.total_rows, shape.batch * shape.rows, "{name}");
        }
    }

    #[test]
    fn the_headline_workload_moves_34_megabytes_of_cache_and_3_of_queries_and_outputs() {
        let megabytes = named("W1").unwrap().problem.bytes() as f64 / 1e6;
        assert!((33.8..=36.8).contains(&megabytes), "{megabytes}");
    }

    #[test]
    fn tensor_parallel_ranks_have_their_share_of_the_heads() {
        let heads = |name| {
            let problem = named(name).unwrap().problem;
            (problem.query_heads, problem.kv.kv_heads)
        };
        assert_eq!((heads("w1-tp4"), heads("w1-tp8")), ((16, 2), (8, 1)));
    }

    #[test]
    fn impossible_shapes_are_refused_with_the_values() {
        let refuse = |shape| Workload::new("own".into(), shape).unwrap_err().to_string();
        let error = refuse(Shape { tp: 3, ..W1 });
        assert!(error.contains("3 ranks"), "{error}");
        let error = refuse(Shape { k: 600, context: 500, ..W1 });
        assert!(error.contains("600") && error.contains("500"), "{error}");
        for shape in [
            Shape { batch: 0, ..W1 },
            Shape { rows: 65, ..W1 },
            Shape { page_size: 0, ..W1 },
            Shape { page_size: 24, ..W1 },
            Shape { batch: u32::MAX, context: u32::MAX, k: 1, ..W1 },
            Shape { context: 0, k: 0, rows: 0, ..W1 },
        ] {
            refuse(shape);
        }
        let error = named("w9").unwrap_err().to_string();
        assert!(error.contains("--list-workloads"), "{error}");
        let error = model("GPT-5").unwrap_err().to_string();
        assert!(error.contains("Qwen2.5-72B"), "{error}");
    }
}
