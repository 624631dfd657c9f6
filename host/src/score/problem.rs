//! What a caller asks of score gathering, in what the host knows: capacities, geometry, layout, types, and the heads.
//!
//! Lengths, tables and slots live on the device.

use dustin_kernels::{registry::Dtype, score::smem::COLUMN_GROUP};

use crate::{error::InvalidInput, geometry::ModelShare, kv::PagedKv};

pub(super) const OPERATION: &str = "score gathering";

/// The most columns (captured query tokens times captured heads) of one source.
pub const MAX_COLUMNS: u32 = 512;

/// The greatest magnitude of a weight: kernels multiply weights by powers of two that have to find room in a float.
pub const MAX_WEIGHT: f32 = 1e12;

/// A query head whose attention is gathered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CapturedHead {
    /// Query head of its layer.
    pub head: u32,
    /// What the probabilities of each of its captured tokens are multiplied by: of a magnitude up to [`MAX_WEIGHT`].
    pub weight: f32,
}

/// One layer's share of an importance map: the heads whose queries are captured there, in the order of the captured
/// queries. Heads that read the same KV head stand together, as their numbers ascend.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The heads, ascending.
    pub heads: Vec<CapturedHead>,
}

impl Source {
    /// The sources whose map is the mean over all heads of all `layers` and over the captured `tokens` of each: every
    /// weight is 1 / (heads in all · tokens). Nothing is checked: [`ScoreProblem::validate`] does.
    #[must_use]
    pub fn mean(layers: &[&[u32]], tokens: u32) -> Vec<Self> {
        let heads: usize = layers.iter().map(|heads| heads.len()).sum();
        let weight = (1.0 / (heads as f64 * f64::from(tokens))) as f32;
        let captured = |&head: &u32| CapturedHead { head, weight };
        layers.iter().map(|heads| Self { heads: heads.iter().map(captured).collect() }).collect()
    }

    /// `heads` query heads that read `kv_heads_read` of `kv_heads` KV heads, each shared by `group` query heads: spread
    /// evenly over the KV heads, for benchmarks and tuning. There are as many heads if they fit the groups.
    #[must_use]
    pub fn spread_heads(heads: u32, kv_heads_read: u32, kv_heads: u32, group: u32) -> Vec<u32> {
        let read = u64::from(kv_heads_read.max(1));
        let of_kv_head = |index: u32| {
            let kv_head = u64::from(index) * u64::from(kv_heads) / read;
            let first = (kv_head * u64::from(group)) as u32;
            // Where the heads do not divide, the first KV heads have one more.
            let own = heads / read as u32 + u32::from(u64::from(index) < u64::from(heads) % read);
            (0..own.min(group)).map(move |head| first.saturating_add(head))
        };
        (0..kv_heads_read).flat_map(of_kv_head).collect()
    }

    /// What of `sources`, whose heads are those of a whole model, falls to the rank that has `share` of it: its heads by their
    /// local numbers, with the weights that they have in the whole. Layers without a head of the rank are left out.
    ///
    /// The sum of the ranks' maps is the map of `sources`. A rank that is left without a source has nothing to launch;
    /// its share of that sum is zero.
    ///
    /// # Errors
    /// A head is not one of the model's.
    pub fn local(sources: &[Self], share: &ModelShare) -> Result<Vec<Self>, InvalidInput> {
        for captured in sources.iter().flat_map(|source| &source.heads) {
            require_head(captured.head, share.geometry().query_heads)?;
        }
        let own = |captured: &CapturedHead| {
            Some(CapturedHead { head: share.local_head(captured.head)?, ..*captured })
        };
        let shares =
            sources.iter().map(|source| Self { heads: source.heads.iter().filter_map(own).collect() });
        Ok(shares.filter(|source| !source.heads.is_empty()).collect())
    }

    /// The captured heads by the KV head that they read, where `group` query heads (at least 1) share one: KV head and
    /// first captured head; last an entry whose first captured head is the number of heads.
    #[must_use]
    pub fn groups(&self, group: u32) -> Vec<[u32; 2]> {
        let mut first = 0;
        let mut groups: Vec<[u32; 2]> = Vec::new();
        for heads in self.by_kv_head(group) {
            groups.push([heads[0].head / group, first]);
            first += heads.len() as u32;
        }
        groups.push([0, first]);
        groups
    }

    /// The captured heads of each KV head that is read, and with them the order of columns: KV head by KV head, within it
    /// token by token, within it head by head.
    pub(crate) fn by_kv_head(&self, group: u32) -> impl Iterator<Item = &[CapturedHead]> {
        self.heads.chunk_by(move |a, b| a.head / group == b.head / group)
    }

    /// Groups of 8 columns that the `logits` kernel multiplies: each KV head's columns fill groups of their own.
    #[must_use]
    pub(crate) fn column_groups(&self, group: u32, tokens: u32) -> u32 {
        self.by_kv_head(group).map(|heads| (heads.len() as u32 * tokens).div_ceil(COLUMN_GROUP)).sum()
    }

    /// The weight of each column by groups of 8, those of each KV head for themselves, 0 where a group has no further column:
    /// what kernels take.
    #[must_use]
    pub fn group_weights(&self, group: u32, tokens: u32) -> Vec<[f32; COLUMN_GROUP as usize]> {
        let pad = |columns: &[f32]| std::array::from_fn(|i| columns.get(i).copied().unwrap_or(0.0));
        self.weights_by_kv_head(group, tokens)
            .flat_map(|columns| columns.chunks(COLUMN_GROUP as usize).map(pad).collect::<Vec<_>>())
            .collect()
    }

    /// The weight of each column, in their order, where `group` query heads (at least 1) share a KV head and `tokens`
    /// are captured.
    #[must_use]
    pub fn column_weights(&self, group: u32, tokens: u32) -> Vec<f32> {
        self.weights_by_kv_head(group, tokens).flatten().collect()
    }

    /// The weights of each KV head's columns.
    fn weights_by_kv_head(&self, group: u32, tokens: u32) -> impl Iterator<Item = Vec<f32>> {
        self.by_kv_head(group).map(move |heads| {
            (0..tokens).flat_map(|_| heads.iter().map(|captured| captured.weight)).collect()
        })
    }
}

/// An importance map gathered from the heads of one or more layers of one model.
///
/// `map[j] (+)= Σ_sources Σ_heads weight · Σ_tokens softmax_j(scale · q · k_j)` over each sequence's confirmed positions
/// `j`. Under tensor parallelism heads, weights and cache are the rank's ([`Source::local`]), and the map is a partial one.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreProblem {
    /// Sequences in the batch: 1 to 65535.
    pub batch: u32,
    /// Positions of the packed map, the most confirmed tokens that the batch may hold in all: 1 to 2^31 - 1.
    pub map_capacity: u32,
    /// Captured query tokens of a sequence, at least 1.
    pub tokens: u32,
    /// Sequences that the buffers of captured queries have room for: 1 to 2^31 - 1.
    pub slots: u32,
    /// Query heads of this rank.
    pub query_heads: u32,
    /// The key caches of this rank, each layer's of the same shape.
    pub kv: PagedKv,
    /// Pages in one sequence's block table: its capacity in tokens is `table_width · page_size`.
    pub table_width: u32,
    /// Element type of queries and keys.
    pub dtype: Dtype,
    /// The layers, at least one.
    pub sources: Vec<Source>,
    /// Whether the sources are added to what the map holds; else they replace it.
    pub accumulate: bool,
}

impl ScoreProblem {
    /// Query heads that share one KV head; 0 if there are no KV heads.
    #[must_use]
    pub const fn group(&self) -> u32 {
        match self.query_heads.checked_div(self.kv.kv_heads) {
            Some(group) => group,
            None => 0,
        }
    }

    /// Columns of `source`: captured tokens times captured heads. Saturates where the problem is not valid.
    #[must_use]
    pub fn columns(&self, source: &Source) -> u32 {
        u32::try_from(source.heads.len()).unwrap_or(u32::MAX).saturating_mul(self.tokens)
    }

    /// The most columns of any source.
    #[must_use]
    pub fn column_capacity(&self) -> u32 {
        self.sources.iter().map(|source| self.columns(source)).max().unwrap_or(0)
    }

    /// The most groups of 8 columns of any source.
    pub(crate) fn group_capacity(&self) -> u32 {
        let (group, tokens) = (self.group(), self.tokens);
        self.sources.iter().map(|source| source.column_groups(group, tokens)).max().unwrap_or(0)
    }

    /// log2 of the most columns in any group, rounded up.
    pub(crate) fn width_log2(&self) -> u32 {
        let heads = |source: &Source| source.by_kv_head(self.group()).map(<[_]>::len).max();
        let most = self.sources.iter().filter_map(heads).max().unwrap_or(0) as u32;
        most.saturating_mul(self.tokens).min(COLUMN_GROUP).next_power_of_two().trailing_zeros()
    }

    /// Bytes that the operation must move at the least when the map is full: the keys of the KV heads that are read, the
    /// captured queries, and the map. Saturates where the problem is not valid.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let (tokens, head_bytes) = (u64::from(self.map_capacity), u64::from(self.kv.head_dim) * 2);
        let group = self.group().max(1);
        let of_source = |source: &Source| {
            let kv_heads = source.groups(group).len() as u64 - 1;
            let queries = u64::from(self.batch).saturating_mul(self.columns(source).into());
            tokens.saturating_mul(kv_heads).saturating_add(queries).saturating_mul(head_bytes)
        };
        let passes = if self.accumulate { 2 } else { 1 };
        self.sources.iter().map(of_source).fold(tokens * 4 * passes, u64::saturating_add)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is not as documented.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        let error =
            |field, required: &str, actual: u32| Err(InvalidInput::new(OPERATION, field, required, actual));
        self.kv.validate(OPERATION)?;
        if self.batch == 0 || self.batch > 65_535 {
            return error("batch", "from 1 to 65535", self.batch);
        }
        if self.map_capacity == 0 || self.map_capacity > i32::MAX as u32 {
            return error("map_capacity", "from 1 to 2^31 - 1", self.map_capacity);
        }
        if self.tokens == 0 || self.tokens > MAX_COLUMNS {
            return error("tokens", "from 1 to 512", self.tokens);
        }
        if self.slots == 0 || self.slots > i32::MAX as u32 {
            return error("slots", "from 1 to 2^31 - 1", self.slots);
        }
        // Kernels count a cache's words of 16 bytes in 32 bits.
        let words = self.kv.extent() / 8;
        if words >= u64::from(u32::MAX) {
            let required = "a cache of less than 2^32 words of 8 items";
            return Err(InvalidInput::new(OPERATION, "kv", required, words));
        }
        self.kv.require_query_heads(OPERATION, self.query_heads)?;
        self.kv.require_table(OPERATION, self.table_width)?;
        if self.sources.is_empty() {
            return error("sources", "at least one", 0);
        }
        self.sources.iter().try_for_each(|source| self.validate_source(source))
    }

    fn validate_source(&self, source: &Source) -> Result<(), InvalidInput> {
        let heads = &source.heads;
        let columns = self.columns(source);
        if columns == 0 || columns > MAX_COLUMNS {
            let required = format!("from 1 to {MAX_COLUMNS}");
            return Err(InvalidInput::new(OPERATION, "heads · tokens", required, columns));
        }
        for captured in heads {
            require_head(captured.head, self.query_heads)?;
            if captured.weight.is_nan() || captured.weight.abs() > MAX_WEIGHT {
                let required = format!("of a magnitude up to {MAX_WEIGHT:e}");
                return Err(InvalidInput::new(OPERATION, "weight", required, captured.weight));
            }
        }
        if let Some(pair) = heads.windows(2).find(|pair| pair[0].head >= pair[1].head) {
            let actual = format!("{} behind {}", pair[1].head, pair[0].head);
            return Err(InvalidInput::new(OPERATION, "heads", "ascending, each once", actual));
        }
        Ok(())
    }
}

fn require_head(head: u32, query_heads: u32) -> Result<(), InvalidInput> {
    if head >= query_heads {
        let required = format!("below the {query_heads} query heads");
        return Err(InvalidInput::new(OPERATION, "head", required, head));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{geometry::preset, kv::KvLayout};

    fn problem(sources: Vec<Source>) -> ScoreProblem {
        ScoreProblem {
            batch: 16,
            map_capacity: 16 * 32_768,
            tokens: 1,
            slots: 16,
            query_heads: 64,
            kv: PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 128),
            table_width: 2048,
            dtype: Dtype::Bf16,
            sources,
            accumulate: false,
        }
    }

    fn weights(sources: &[Source]) -> impl Iterator<Item = f32> {
        sources.iter().flat_map(|source| &source.heads).map(|captured| captured.weight)
    }

    #[test]
    fn the_mean_over_layers_weighs_every_head_and_token_alike() {
        let sources = Source::mean(&[&[1, 5], &[0, 2, 3]], 4);
        assert_eq!(sources.len(), 2);
        assert!(weights(&sources).all(|weight| weight == 1.0 / 20.0));
        assert_eq!(sources[1].heads.iter().map(|captured| captured.head).collect::<Vec<_>>(), [0, 2, 3]);
    }

    #[test]
    fn spread_heads_read_as_many_kv_heads_as_asked() {
        assert_eq!(Source::spread_heads(4, 4, 8, 8), [0, 16, 32, 48]);
        assert_eq!(Source::spread_heads(4, 1, 8, 8), [0, 1, 2, 3]);
        assert_eq!(Source::spread_heads(5, 2, 3, 7), [0, 1, 2, 7, 8]);
        for heads in 3..=21 {
            let captured = Source::spread_heads(heads, 3, 5, 7);
            assert!(captured.is_sorted_by(|a, b| a < b) && captured.iter().all(|&head| head < 35));
            let source = &Source::mean(&[&captured], 1)[0];
            assert_eq!((captured.len(), source.groups(7).len()), (heads as usize, 4));
        }
    }

    #[test]
    fn heads_of_one_kv_head_are_one_group() {
        let source = &Source::mean(&[&[0, 7, 8, 25, 26, 31]], 1)[0];
        assert_eq!(source.groups(8), [[0, 0], [1, 2], [3, 3], [0, 6]]);
        assert_eq!(source.groups(1).len(), 7);
    }

    #[test]
    fn columns_go_by_kv_head_then_by_token() {
        let heads = [(0, 1.0), (1, 2.0), (2, 3.0)].map(|(head, weight)| CapturedHead { head, weight });
        let source = Source { heads: heads.to_vec() };
        assert_eq!(source.column_weights(2, 3), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 3.0, 3.0, 3.0]);
        assert_eq!(
            [(2, 4), (2, 9), (1, 1)].map(|(group, tokens)| source.column_groups(group, tokens)),
            [2, 5, 3]
        );
        let pad = |columns: &[f32]| -> [f32; 8] { std::array::from_fn(|i| *columns.get(i).unwrap_or(&0.0)) };
        assert_eq!(source.group_weights(2, 3), [pad(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0]), pad(&[3.0; 3])]);
        assert_eq!(source.group_weights(3, 3), [pad(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0]), pad(&[3.0])]);
    }

    #[test]
    fn groups_are_as_wide_as_the_most_columns_of_any_source() {
        let width = |layers: &[&[u32]], tokens| {
            ScoreProblem { tokens, ..problem(Source::mean(layers, tokens)) }.width_log2()
        };
        assert_eq!(width(&[&[0, 9, 17, 25]], 1), 0);
        assert_eq!(width(&[&[0, 9, 17, 25]], 2), 1);
        assert_eq!(width(&[&[0, 9], &[0, 1, 2]], 1), 2);
        assert_eq!(width(&[&[0, 1, 2]], 2), 3);
        assert_eq!(width(&[&[0, 1, 2]], 100), 3);
    }

    #[test]
    fn bytes_are_keys_of_the_heads_read_queries_and_map() {
        let tokens = 16 * 32_768;
        let four = problem(Source::mean(&[&[0, 9, 17, 25]], 1));
        assert_eq!(four.bytes(), tokens * 4 * 256 + 16 * 4 * 256 + tokens * 4);
        let one = problem(Source::mean(&[&[0, 1, 2, 3]], 1));
        assert_eq!(one.bytes(), tokens * 256 + 16 * 4 * 256 + tokens * 4);
        let added = ScoreProblem { accumulate: true, ..one.clone() };
        assert_eq!(added.bytes(), one.bytes() + tokens * 4);
        let nothing = PagedKv { kv_heads: 0, head_dim: u32::MAX, ..one.kv };
        let absurd = ScoreProblem { kv: nothing, batch: u32::MAX, tokens: u32::MAX, ..one };
        assert_eq!(absurd.bytes(), u64::MAX);
    }

    #[test]
    fn the_ranks_share_the_heads_out_and_keep_their_weights() {
        let geometry = preset("Qwen2.5-72B").unwrap();
        let sources = Source::mean(&[&[3, 31, 32, 63], &[40]], 2);
        let share = |rank| ModelShare::new(geometry, 4, rank).unwrap();
        let rank = |rank| Source::local(&sources, &share(rank)).unwrap();
        let heads = |sources: Vec<Source>| -> Vec<Vec<u32>> {
            assert!(weights(&sources).all(|weight| weight == 0.1));
            sources.iter().map(|s| s.heads.iter().map(|captured| captured.head).collect()).collect()
        };
        assert_eq!(heads(rank(0)), [[3]]);
        assert_eq!(heads(rank(1)), [[15]]);
        assert_eq!(heads(rank(2)), [[0], [8]]);
        assert_eq!(heads(rank(3)), [[15]]);
        let only = Source::local(&sources[1..], &share(0)).unwrap();
        assert!(only.is_empty());
        let none = Source::local(&Source::mean(&[&[64]], 1), &share(0));
        assert_eq!(none.unwrap_err().field, "head");
    }

    #[test]
    fn every_field_out_of_range_is_refused_by_name() {
        let good = problem(Source::mean(&[&[0, 9]], 1));
        good.validate().unwrap();
        let field = |change: &dyn Fn(&mut ScoreProblem)| {
            let mut problem = good.clone();
            change(&mut problem);
            problem.validate().unwrap_err().field
        };
        assert_eq!(field(&|p| p.batch = 0), "batch");
        assert_eq!(field(&|p| p.batch = 65_536), "batch");
        assert_eq!(field(&|p| p.map_capacity = 0), "map_capacity");
        assert_eq!(field(&|p| p.map_capacity = 1 << 31), "map_capacity");
        assert_eq!(field(&|p| p.tokens = 0), "tokens");
        assert_eq!(field(&|p| p.tokens = 513), "tokens");
        assert_eq!(field(&|p| p.tokens = 257), "heads · tokens");
        assert_eq!(field(&|p| p.slots = 0), "slots");
        assert_eq!(field(&|p| p.query_heads = 60), "query_heads");
        assert_eq!(field(&|p| p.query_heads = 8 * 17), "query_heads / kv_heads");
        assert_eq!(field(&|p| p.table_width = 0), "table_width");
        assert_eq!(field(&|p| p.kv.page_size = 3), "kv.page_size");
        assert_eq!(field(&|p| (p.kv.pages, p.kv.page_stride) = (1 << 16, 1 << 20)), "kv");
        assert_eq!(field(&|p| p.sources.clear()), "sources");
        assert_eq!(field(&|p| p.sources[0].heads.clear()), "heads · tokens");
        assert_eq!(field(&|p| p.sources[0].heads[1].head = 0), "heads");
        assert_eq!(field(&|p| p.sources[0].heads.swap(0, 1)), "heads");
        assert_eq!(field(&|p| p.sources[0].heads[1].head = 64), "head");
        for weight in [f32::NAN, f32::NEG_INFINITY, 1.1e12] {
            assert_eq!(field(&|p| p.sources[0].heads[1].weight = weight), "weight");
        }
    }
}
