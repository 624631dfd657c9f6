//! Model geometry: what of a model the kernels have to know.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | reading it from a Hugging Face `config.json` |
//! | [`share`] | what of it a tensor-parallel rank has |

pub mod config;
pub mod share;

pub use self::{
    config::{ConfigError, parse_config, read_config},
    share::ModelShare,
};

/// The shape of a decoder-only model with grouped-query attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Decoder layers.
    pub layers: u32,
    /// Query heads.
    pub query_heads: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Items in a head.
    pub head_dim: u32,
    /// Items of a token's hidden state.
    pub hidden: u32,
    /// Items between the two matrices of a layer's feed-forward network.
    pub intermediate: u32,
    /// Tokens of the vocabulary, padding included.
    pub vocabulary: u32,
}

/// The models whose geometry is built in, by the name of their checkpoints.
pub const PRESETS: &[(&str, Geometry)] = &[
    ("Qwen2.5-0.5B", of([24, 14, 2, 64], [896, 4864, 151_936])),
    ("Qwen2.5-1.5B", of([28, 12, 2, 128], [1536, 8960, 151_936])),
    ("Qwen2.5-7B", of([28, 28, 4, 128], [3584, 18_944, 152_064])),
    ("Qwen2.5-14B", of([48, 40, 8, 128], [5120, 13_824, 152_064])),
    ("Qwen2.5-32B", of([64, 40, 8, 128], [5120, 27_648, 152_064])),
    ("Qwen2.5-72B", of([80, 64, 8, 128], [8192, 29_568, 152_064])),
    ("Llama-3.2-1B", of([16, 32, 8, 64], [2048, 8192, 128_256])),
    ("Llama-3.2-3B", of([28, 24, 8, 128], [3072, 8192, 128_256])),
    ("Llama-3.1-8B", of([32, 32, 8, 128], [4096, 14_336, 128_256])),
    ("Llama-3.1-70B", of([80, 64, 8, 128], [8192, 28_672, 128_256])),
];

/// Layers, query heads, KV heads and head size; hidden, intermediate and vocabulary size.
const fn of(
    [layers, query_heads, kv_heads, head_dim]: [u32; 4],
    [hidden, intermediate, vocabulary]: [u32; 3],
) -> Geometry {
    Geometry { layers, query_heads, kv_heads, head_dim, hidden, intermediate, vocabulary }
}

/// The geometry of a built-in model, whatever the case of its name.
#[must_use]
pub fn preset(name: &str) -> Option<Geometry> {
    PRESETS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, geometry)| geometry)
}

impl Geometry {
    /// Query heads that share one KV head; 0 if there are no KV heads.
    #[must_use]
    pub const fn group(self) -> u32 {
        match self.query_heads.checked_div(self.kv_heads) {
            Some(group) => group,
            None => 0,
        }
    }

    /// The heads of one of `tp_size` tensor-parallel ranks: nothing unless the KV heads divide evenly. The other sizes stay the
    /// model's.
    #[must_use]
    pub const fn local(self, tp_size: u32) -> Option<Self> {
        if tp_size == 0 || !self.kv_heads.is_multiple_of(tp_size) || !self.query_heads.is_multiple_of(tp_size)
        {
            return None;
        }
        Some(Self { query_heads: self.query_heads / tp_size, kv_heads: self.kv_heads / tp_size, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_without_kv_heads_has_no_groups() {
        let geometry = preset("qwen2.5-72b").unwrap();
        assert_eq!(geometry.group(), 8);
        assert_eq!(Geometry { kv_heads: 0, ..geometry }.group(), 0);
    }

    #[test]
    fn the_heads_of_every_preset_fill_its_hidden_state_and_share_kv_heads_evenly() {
        for (name, model) in PRESETS {
            assert_eq!(model.query_heads * model.head_dim, model.hidden, "{name}");
            assert_eq!(model.group() * model.kv_heads, model.query_heads, "{name}");
            assert!(model.intermediate > model.hidden && model.vocabulary > 100_000, "{name}");
        }
    }
}
