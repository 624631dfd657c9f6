//! Model geometry: what of a model the kernels have to know.

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
}

/// The models whose geometry is built in, by the name of their checkpoints.
pub const PRESETS: &[(&str, Geometry)] = &[
    ("Qwen2.5-0.5B", Geometry { layers: 24, query_heads: 14, kv_heads: 2, head_dim: 64 }),
    ("Qwen2.5-1.5B", Geometry { layers: 28, query_heads: 12, kv_heads: 2, head_dim: 128 }),
    ("Qwen2.5-7B", Geometry { layers: 28, query_heads: 28, kv_heads: 4, head_dim: 128 }),
    ("Qwen2.5-14B", Geometry { layers: 48, query_heads: 40, kv_heads: 8, head_dim: 128 }),
    ("Qwen2.5-32B", Geometry { layers: 64, query_heads: 40, kv_heads: 8, head_dim: 128 }),
    ("Qwen2.5-72B", Geometry { layers: 80, query_heads: 64, kv_heads: 8, head_dim: 128 }),
    ("Llama-3.2-1B", Geometry { layers: 16, query_heads: 32, kv_heads: 8, head_dim: 64 }),
    ("Llama-3.2-3B", Geometry { layers: 28, query_heads: 24, kv_heads: 8, head_dim: 128 }),
    ("Llama-3.1-8B", Geometry { layers: 32, query_heads: 32, kv_heads: 8, head_dim: 128 }),
    ("Llama-3.1-70B", Geometry { layers: 80, query_heads: 64, kv_heads: 8, head_dim: 128 }),
];

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

    /// The share of one of `tp_size` tensor-parallel ranks: nothing unless the KV heads divide evenly.
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
}
