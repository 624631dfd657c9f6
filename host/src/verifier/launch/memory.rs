//! What of an engine's memory stays where it is from step to step.

use crate::{
    cache::compact::launch::require_layers,
    error::{InvalidInput, require_address, require_items},
    verifier::{Captured, OPERATION, Stages},
};

/// The device addresses of caches and of captured queries: an engine allocates them once, and a verifier is made with them. 16-bit
/// items, aligned to 16 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineMemory {
    /// The key cache of each of the target's layers.
    pub target_keys: Vec<u64>,
    /// The value cache of each of the target's layers.
    pub target_values: Vec<u64>,
    /// The target's captured queries, as [`Stages::target_captured`] lays them out; 0 where there are none.
    pub target_queries: u64,
    /// The key cache of each of the draft's layers; empty where its map is not read.
    pub draft_keys: Vec<u64>,
    /// The draft's captured queries, as [`Stages::draft_captured`] lays them out; 0 where there are none.
    pub draft_queries: u64,
}

impl EngineMemory {
    /// Checks the addresses for a verifier of `stages`.
    ///
    /// # Errors
    /// There are other than the target's layers, too few of the draft's, an address is missing or misaligned, or the keys and
    /// values of a layer overlap.
    pub fn validate(&self, stages: &Stages) -> Result<(), InvalidInput> {
        let layers = stages.compaction.layers as usize;
        for (field, addresses) in [("target_keys", &self.target_keys), ("target_values", &self.target_values)]
        {
            if addresses.len() != layers {
                let required = format!("one address for each of the {layers} layers");
                return Err(InvalidInput::new(OPERATION, field, required, addresses.len()));
            }
        }
        require_layers(&stages.compaction, &self.target_keys, &self.target_values)?;
        require_queries("target_queries", &stages.target_captured, self.target_queries)?;
        require_queries("draft_queries", &stages.draft_captured, self.draft_queries)?;
        for own in &stages.draft_captured.layers {
            let layer = own.layer as usize;
            require_items(OPERATION, "draft_keys", self.draft_keys.len(), own.layer as u64 + 1)?;
            require_address(OPERATION, "draft_keys", self.draft_keys[layer], 16)?;
        }
        Ok(())
    }
}

fn require_queries(field: &'static str, captured: &Captured, address: u64) -> Result<(), InvalidInput> {
    if captured.layers.is_empty() {
        return Ok(());
    }
    require_address(OPERATION, field, address, 16)
}
