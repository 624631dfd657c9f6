//! The GPU's variants as a catalogue.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock, sync::OnceLock};

use dustin_kernels::registry::{ATTENTION, AttentionVariant};

use super::{
    catalogue::{Catalogue, Known},
    key::{IndexSet, Kernel, Key, KvDtype, KvScale, Mask},
    schema::{Choice, Launch},
};
use crate::InvalidInput;

const OPERATION: &str = "sparse attention on a GPU";

/// The most splits of one sequence: beyond this the merge costs more than any split saves.
const SPLIT_LIMIT: u32 = 128;

/// The attention variants of this build on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuCatalogue {
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// Shared memory that one block may have, in bytes (opt-in).
    pub shared_bytes: u32,
}

/// The most splits that the problems of a bucket can use: each split takes whole groups of 16 tokens.
#[must_use]
pub fn max_splits(key: &Key) -> u32 {
    key.set_capacity.saturating_add(key.rows).div_ceil(16).clamp(1, SPLIT_LIMIT)
}

impl GpuCatalogue {
    /// Whether `variant` can serve the key at all.
    fn serves(&self, key: &Key, variant: &AttentionVariant) -> Result<(), InvalidInput> {
        let error = |field, required: String, actual: String| {
            Err(InvalidInput::new(OPERATION, field, required, actual))
        };
        let capability = key.device.compute_capability;
        if !capability.is_some_and(|capability| variant.target.runs_on(capability.major, capability.minor)) {
            let actual = capability.map_or("no GPU".into(), |capability| capability.to_string());
            let required = format!("one that runs {}", variant.target.name());
            return error("compute capability", required, actual);
        }
        if variant.dtype != key.dtype {
            return error("variant.dtype", format!("{:?}", key.dtype), format!("{:?}", variant.dtype));
        }
        if KvDtype::from(variant.dtype) != key.kv_dtype || key.kv_scale != KvScale::None {
            let actual = format!("{:?}, scale {:?}", key.kv_dtype, key.kv_scale);
            return error("kv_dtype", "that of the queries, without scale".into(), actual);
        }
        if variant.head_dim != key.head_dim {
            return error("variant.head_dim", key.head_dim.to_string(), variant.head_dim.to_string());
        }
        if key.mask != Mask::Causal {
            return error("mask", "Causal".into(), format!("{:?}", key.mask));
        }
        if key.index_set != IndexSet::PerSequence {
            return error("index_set", "PerSequence".into(), format!("{:?}", key.index_set));
        }
        if variant.shared_bytes() > self.shared_bytes {
            let required = format!("at most the GPU's {}", self.shared_bytes);
            return error("variant.shared_bytes", required, variant.shared_bytes().to_string());
        }
        Ok(())
    }
}

impl Catalogue for GpuCatalogue {
    fn variant(&self, key: &Key, id: &str) -> Option<Known<'_>> {
        let variant = find(key, id)?;
        Some(Known { revision: variant.revision, ptx_digest: digest(variant).map(Cow::Borrowed) })
    }

    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput> {
        let variant = find(key, id).ok_or_else(|| {
            InvalidInput::new(OPERATION, "variant", "one of this build's for a GPU", format!("{id:?}"))
        })?;
        self.serves(key, variant)?;
        let most = max_splits(key);
        match launch.splits {
            Some(splits) if (1..=most).contains(&splits) => {}
            splits => {
                let actual = splits.map_or("absent".into(), |splits| splits.to_string());
                return Err(InvalidInput::new(
                    OPERATION,
                    "launch.splits",
                    format!("from 1 to {most}"),
                    actual,
                ));
            }
        }
        match launch.threads {
            None => Ok(()),
            Some(threads) => Err(InvalidInput::new(OPERATION, "launch.threads", "absent", threads)),
        }
    }

    /// The variant whose blocks take all query columns of a KV head with the least to spare, at 8 warps where there
    /// is such a tile, and enough splits for two blocks on each multiprocessor.
    fn default(&self, key: &Key) -> Option<Choice> {
        if key.kernel != Kernel::SparseAttention || key.group() == 0 {
            return None;
        }
        let columns = key.rows.saturating_mul(key.group());
        let chunks = |variant: &AttentionVariant| columns.div_ceil(variant.tile.query_columns());
        let variant =
            ATTENTION.iter().filter(|variant| self.serves(key, variant).is_ok()).min_by_key(|variant| {
                let tile = variant.tile;
                (chunks(variant), tile.columns, tile.warps.abs_diff(8), tile.groups, tile.stages.abs_diff(3))
            })?;
        let blocks = key.batch.saturating_mul(key.kv_heads).saturating_mul(chunks(variant)).max(1);
        let splits = (self.sm_count.saturating_mul(2) / blocks).clamp(1, max_splits(key));
        Some(Choice {
            variant: variant.id.into(),
            revision: variant.revision,
            ptx_digest: digest(variant).map(Into::into),
            launch: Launch { splits: Some(splits), threads: None },
        })
    }
}

struct Listed {
    variant: &'static AttentionVariant,
    digest: OnceLock<Option<String>>,
}

/// The registry by id. Hashing a variant's PTX takes longer than reading its entry, so it is done once and only for
/// variants that a profile names.
static BY_ID: LazyLock<HashMap<&'static str, Listed>> = LazyLock::new(|| {
    ATTENTION.iter().map(|variant| (variant.id, Listed { variant, digest: OnceLock::new() })).collect()
});

fn find(key: &Key, id: &str) -> Option<&'static AttentionVariant> {
    match key.kernel {
        Kernel::SparseAttention if key.device.is_gpu() => BY_ID.get(id).map(|listed| listed.variant),
        Kernel::SparseAttention => None,
    }
}

fn digest(variant: &AttentionVariant) -> Option<&'static str> {
    BY_ID.get(variant.id)?.digest.get_or_init(|| variant.ptx.digest()).as_deref()
}
