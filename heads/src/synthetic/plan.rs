//! What is asked for.

use dustin::{InvalidInput, geometry::Geometry};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use safetensors::SafeTensorError;

use super::scene::LEAST_PROMPT;
use crate::calibration::{CalibrationError, ModelRole};

/// The most bytes of keys.
const MOST_BYTES: u64 = 4 << 30;

/// A capture to be made up.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticPlan {
    /// Where random numbers begin.
    pub seed: u64,
    /// The large model.
    pub target: ModelShape,
    /// The small model, if there is to be one.
    pub draft: Option<ModelShape>,
    /// Prompts to choose by, at least 1.
    pub searched: u32,
    /// Prompts to judge by.
    pub held_out: u32,
    /// Tokens of each prompt, 256 to 2^20.
    pub prompt_tokens: u32,
    /// Tokens of each continuation, 1 to 1024.
    pub continuation: u32,
    /// The share of the searched prompts on which a decoy is as good as a planted head, from 0 to 1.
    pub decoy_share: f64,
}

/// A model of a made-up capture.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelShape {
    /// The whole model's shape; its heads have 64 or 128 items.
    pub geometry: Geometry,
    /// The layers that are kept, ascending. All heads are.
    pub layers: Vec<u32>,
    /// Heads that are planted.
    pub planted: u32,
    /// Where they are.
    pub placement: Placement,
    /// Decoys, at random among the others.
    pub decoys: u32,
}

/// Where planted heads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// At random among those kept.
    Anywhere,
    /// So many of them read one KV head, taken at random; each of the others reads one of its own.
    Together(u32),
}

/// Why a capture cannot be made up.
#[derive(Debug, thiserror::Error)]
pub enum SyntheticError {
    /// A field of the plan is not as documented.
    #[error(transparent)]
    InvalidInput(#[from] InvalidInput),
    /// The plan's models or prompts are none that a capture may have.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// The file would be too large.
    #[error("synthetic capture: cannot be written ({0}); ask for fewer prompts or layers")]
    File(#[from] SafeTensorError),
}

impl SyntheticPlan {
    /// The model in `role`.
    pub(super) fn models(&self) -> impl Iterator<Item = (ModelRole, &ModelShape)> {
        [(ModelRole::Target, Some(&self.target)), (ModelRole::Draft, self.draft.as_ref())]
            .into_iter()
            .filter_map(|(role, shape)| Some((role, shape?)))
    }

    /// Prompts of both roles, the searched ones first.
    pub(super) const fn prompts(&self) -> u32 {
        self.searched.saturating_add(self.held_out)
    }

    /// Random numbers of their own for whatever `place` names.
    pub(super) fn random(&self, place: &[u32]) -> Pcg64Mcg {
        // FNV-1a: places differ in few bits.
        let hash = |hash: u64, item: &u32| (hash ^ u64::from(*item)).wrapping_mul(0x0100_0000_01b3);
        Pcg64Mcg::seed_from_u64(place.iter().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, hash))
    }

    /// Checks every field that the capture's own rules do not.
    pub(super) fn validate(&self) -> Result<(), SyntheticError> {
        let error = |field, required: String, actual: String| {
            Err(InvalidInput { operation: "synthetic capture", field, required, actual }.into())
        };
        for (field, range, actual) in [
            ("searched", 1..=1 << 16, self.searched),
            ("held_out", 0..=1 << 16, self.held_out),
            ("prompt_tokens", LEAST_PROMPT..=1 << 20, self.prompt_tokens),
            ("continuation", 1..=1024, self.continuation),
        ] {
            if !range.contains(&actual) {
                return error(
                    field,
                    format!("from {} to {}", range.start(), range.end()),
                    actual.to_string(),
                );
            }
        }
        if !(0.0..=1.0).contains(&self.decoy_share) {
            return error("decoy_share", "from 0 to 1".into(), self.decoy_share.to_string());
        }
        let mut bytes = 0_u64;
        for (_, ModelShape { geometry, layers, planted, placement, decoys }) in self.models() {
            if !matches!(geometry.head_dim, 64 | 128) {
                return error("geometry.head_dim", "64 or 128".into(), geometry.head_dim.to_string());
            }
            if geometry.group() == 0 || geometry.group() * geometry.kv_heads != geometry.query_heads {
                let required = format!("a multiple of the {} KV heads", geometry.kv_heads);
                return error("geometry.query_heads", required, geometry.query_heads.to_string());
            }
            let kept = layers.len() as u64 * u64::from(geometry.query_heads);
            let asked = u64::from(*planted) + u64::from(*decoys);
            if asked > kept {
                return error(
                    "planted + decoys",
                    format!("at most {kept}, the heads kept"),
                    asked.to_string(),
                );
            }
            if let Placement::Together(heads) = *placement {
                let most = geometry.group().min(*planted);
                if heads > most {
                    let required = format!("at most {most}, a group's heads and the planted ones");
                    return error("placement", required, heads.to_string());
                }
                let others = (layers.len() as u64 * u64::from(geometry.kv_heads)).saturating_sub(1);
                if u64::from(planted - heads) > others {
                    let required = format!(
                        "at least {}, as there are {others} other KV heads",
                        u64::from(*planted) - others
                    );
                    return error("placement", required, heads.to_string());
                }
            }
            // Keys alone: a prompt has far fewer queries.
            let positions = u64::from(self.prompts()) * u64::from(self.prompt_tokens + self.continuation);
            let heads = (layers.len() as u64).saturating_mul(geometry.kv_heads.into());
            let items = positions.saturating_mul(heads).saturating_mul(geometry.head_dim.into());
            bytes = bytes.saturating_add(items.saturating_mul(2));
        }
        if bytes > MOST_BYTES {
            let required = format!("of at most {MOST_BYTES} bytes of keys, as they are made in memory");
            return error("prompts and layers", required, bytes.to_string());
        }
        Ok(())
    }
}
