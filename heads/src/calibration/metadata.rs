//! What a capture says of itself: the JSON text of its metadata entry.

use std::{collections::BTreeMap, fmt};

use dustin::geometry::Geometry;
use serde::{Deserialize, Serialize};

/// The version of the layout.
pub const VERSION: u64 = 1;

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// [`VERSION`].
    pub version: u64,
    /// SHA-256 of what was asked for, in hexadecimal; every shard has it.
    pub capture: String,
    /// Versions of the software that made it.
    #[serde(default)]
    pub producer: BTreeMap<String, String>,
    /// The large model.
    pub target: Model,
    /// The small model, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<Model>,
    /// The prompts, by their numbers.
    pub prompts: Vec<Prompt>,
    /// What the rankings are, if heads were ranked.
    pub ranking: Option<Ranking>,
}

impl Metadata {
    /// The model in `role`; only a draft may be missing.
    #[must_use]
    pub const fn model(&self, role: ModelRole) -> Option<&Model> {
        match role {
            ModelRole::Target => Some(&self.target),
            ModelRole::Draft => self.draft.as_ref(),
        }
    }

    /// The models that there are.
    pub fn models(&self) -> impl Iterator<Item = (ModelRole, &Model)> {
        ModelRole::ALL.into_iter().filter_map(|role| Some((role, self.model(role)?)))
    }

    /// The numbers of the prompts with `role`.
    pub fn prompts_of(&self, role: PromptRole) -> impl Iterator<Item = u32> {
        (0..).zip(&self.prompts).filter(move |(_, prompt)| prompt.role == role).map(|(number, _)| number)
    }
}

/// Which of its two models something of a capture is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModelRole {
    /// The large one.
    Target,
    /// The small one, which read the same tokens.
    Draft,
}

impl ModelRole {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Target, Self::Draft];
}

/// As tensors are named.
impl fmt::Display for ModelRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Target => "target",
            Self::Draft => "draft",
        })
    }
}

/// A model, and what was kept of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The name that profiles call it by.
    pub name: String,
    /// The whole model's shape.
    #[serde(with = "GeometryText")]
    pub geometry: Geometry,
    /// Element type of queries, keys, values and logits.
    pub dtype: Element,
    /// What products of queries and keys are multiplied by before the softmax.
    pub scale: f64,
    /// How queries and keys were turned. Nothing here depends on it: both are as a cache holds them.
    #[serde(default)]
    pub rotary: serde_json::Value,
    /// The layers kept, ascending, by the whole model's numbers.
    pub layers: Vec<u32>,
    /// The query heads kept of each layer, ascending, by the whole model's numbers.
    pub heads: Vec<u32>,
    /// The KV heads that these read, ascending.
    pub kv_heads: Vec<u32>,
    /// The model's `config.json`.
    pub config: serde_json::Value,
}

impl Model {
    /// The KV head that query head `head` reads, both by the whole model's numbers.
    #[must_use]
    pub const fn kv_head_of(&self, head: u32) -> u32 {
        match head.checked_div(self.geometry.group()) {
            Some(kv_head) => kv_head,
            None => 0,
        }
    }
}

/// Element types of captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Element {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
}

/// A prompt and its continuation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// What reports call it.
    pub name: String,
    /// What it may be used for.
    pub role: PromptRole,
    /// Tokens altogether (N).
    pub tokens: u32,
    /// Tokens from the user (P): the continuation begins there.
    pub prompt_tokens: u32,
    /// The first position whose query was kept (F).
    pub first_query: u32,
    /// Who wrote the continuation.
    pub continuation: Continuation,
    /// Where the answer lies: first position and end of each span.
    #[serde(default)]
    pub needle_spans: Vec<[u32; 2]>,
    /// Share of the needle's tokens that the continuation has.
    pub needle_recall: Option<f64>,
}

impl Prompt {
    /// Queries kept of each head.
    #[must_use]
    pub const fn queries(&self) -> u32 {
        self.tokens.saturating_sub(self.first_query)
    }

    /// The confirmed lengths at which there is a verification step of `gamma` draft tokens.
    #[must_use]
    pub const fn steps(&self, gamma: u32) -> std::ops::Range<u32> {
        let end = self.tokens.saturating_sub(gamma);
        if end < self.prompt_tokens {
            self.prompt_tokens..self.prompt_tokens
        } else {
            self.prompt_tokens..end
        }
    }
}

/// What a prompt may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptRole {
    /// For choosing.
    Searched,
    /// For judging what was chosen, and nothing else.
    HeldOut,
}

impl fmt::Display for PromptRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Searched => "searched",
            Self::HeldOut => "held-out",
        })
    }
}

/// Who wrote a continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continuation {
    /// The target.
    Generated,
    /// Whoever asked for the capture.
    Forced,
}

/// How heads were ranked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The method's name.
    pub method: String,
    /// The prompts that were scored, all of them searched: the rows of the scores.
    pub prompts: Vec<u32>,
    /// Names of the models that no score was found for.
    #[serde(default)]
    pub all_zero: Vec<String>,
}

/// A geometry with the host library's names of its fields.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Geometry")]
struct GeometryText {
    layers: u32,
    query_heads: u32,
    kv_heads: u32,
    head_dim: u32,
    hidden: u32,
    intermediate: u32,
    vocabulary: u32,
}
