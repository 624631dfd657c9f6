//! CompressKV's published files.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

use dustin::geometry::Geometry;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{HeadRanking, RankingError};
use crate::field::FieldError;

/// The most bytes that are read: a score of twenty digits for each of a hundred prompts and the largest models' 10,000 heads.
const LIMIT: u64 = 64 << 20;

const EITHER: &str = "CompressKV's head_idx.json or head_score.json";
const ORDERS: &str = "{\"layer\": [heads, best first]} as CompressKV's head_idx.json";
const SCORES: &str = "{\"layer-head\": [scores]} as CompressKV's head_score.json";

impl HeadRanking {
    /// Reads either of the two files, which their keys tell apart.
    ///
    /// # Errors
    /// As [`Self::read_orders`] and [`Self::read_scores`].
    pub fn read(path: &Path, geometry: Geometry) -> Result<Self, RankingError> {
        let keys: BTreeMap<String, IgnoredAny> = parse(path, EITHER)?;
        if keys.keys().any(|key| key.contains('-')) {
            Self::read_scores(path, geometry)
        } else {
            Self::read_orders(path, geometry)
        }
    }

    /// Reads a `head_idx.json`: for each layer its heads, best first.
    ///
    /// # Errors
    /// The file cannot be read, is of another kind, or does not have each query head of each layer of `geometry` once.
    pub fn read_orders(path: &Path, geometry: Geometry) -> Result<Self, RankingError> {
        let file = path.display().to_string();
        let layers: BTreeMap<String, Vec<u32>> = parse(path, ORDERS)?;
        let mut order = vec![Vec::new(); geometry.layers as usize];
        for (text, heads) in layers {
            let layer = number(&file, "a layer", &text, geometry.layers)?;
            order[layer as usize] = heads;
        }
        Self::require(&file, &order, geometry)?;
        Ok(Self { order, scores: None })
    }

    /// Reads a `head_score.json`: for each head a list of scores, one for each sample. Heads are ranked by the mean of theirs, equals by
    /// their number.
    ///
    /// # Errors
    /// The file cannot be read, is of another kind, has heads that `geometry` does not have or lacks some that it has, or a head
    /// has no scores or one that is not finite.
    pub fn read_scores(path: &Path, geometry: Geometry) -> Result<Self, RankingError> {
        let file = path.display().to_string();
        let heads: BTreeMap<String, Vec<f64>> = parse(path, SCORES)?;
        let [layers, query_heads] = [geometry.layers, geometry.query_heads];
        let mut scores = vec![vec![f64::NAN; query_heads as usize]; layers as usize];
        for (text, samples) in heads {
            let Some((layer, head)) = text.split_once('-') else {
                return Err(FieldError::new(&file, format!("{text:?}"), "layer-head", &text).into());
            };
            let layer = number(&file, "a layer", layer, layers)?;
            let head = number(&file, "a head", head, query_heads)?;
            let mean = samples.iter().sum::<f64>() / samples.len() as f64;
            if !mean.is_finite() {
                let required = "at least one finite score";
                return Err(FieldError::new(&file, text, required, format!("{samples:?}")).into());
            }
            scores[layer as usize][head as usize] = mean;
        }
        for (layer, scores) in scores.iter().enumerate() {
            if let Some(head) = scores.iter().position(|score| score.is_nan()) {
                let required = format!("given, as all {query_heads} heads of all {layers} layers");
                return Err(FieldError::new(&file, format!("{layer}-{head}"), required, "missing").into());
            }
        }
        Ok(Self::by_scores(scores))
    }
}

fn parse<T: DeserializeOwned>(path: &Path, required: &'static str) -> Result<T, RankingError> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|source| RankingError::Read { path: path.into(), source })?;
    let unlike =
        |message: String| RankingError::NotRanking { file: path.display().to_string(), required, message };
    if bytes.len() as u64 > LIMIT {
        return Err(unlike(format!("it has more than {LIMIT} bytes")));
    }
    serde_json::from_slice(&bytes).map_err(|error| unlike(error.to_string()))
}

fn number(file: &str, what: &str, text: &str, end: u32) -> Result<u32, RankingError> {
    text.parse().ok().filter(|&number| number < end).ok_or_else(|| {
        FieldError::new(file, what, format!("a number below {end}, as the model's"), format!("{text:?}"))
            .into()
    })
}
