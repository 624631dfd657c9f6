//! Choices of attention on a GPU.

use dustin_kernels::registry::AttentionVariant;

use super::{
    cannot_launch,
    listed::{self, Variant},
    unknown,
};
use crate::{
    InvalidInput,
    attention::{
        launch::{AttentionPlan, Merge, Splits},
        space::{self, Candidate},
    },
    limits::DeviceLimits,
    profile::{
        catalogue::require_parameters,
        key::AttentionKey,
        schema::{Choice, Launch},
    },
};

const OPERATION: &str = "paged attention on a GPU";

impl From<Candidate> for Launch {
    fn from(candidate: Candidate) -> Self {
        let cluster = (candidate.splits.merge == Merge::Cluster).then_some(candidate.splits.count);
        Self { splits: Some(candidate.splits.count), cluster, ..Self::default() }
    }
}

impl Choice {
    /// The candidate of attention's tuning space on a GPU that this choice names; nothing if it names none. That it may
    /// be launched is for [`Tuned`](crate::profile::Tuned) to say.
    #[must_use]
    pub fn gpu_attention(&self) -> Option<Candidate> {
        Some(Candidate { variant: variant(&self.variant)?, splits: splits(&self.launch)? })
    }
}

/// The division that launch parameters name: a cluster is that of all splits.
fn splits(launch: &Launch) -> Option<Splits> {
    let count = launch.splits?;
    match launch.cluster {
        None => Some(count.into()),
        Some(cluster) => (cluster == count).then_some(Splits::of_cluster(count)),
    }
}

pub(super) fn check(
    key: &AttentionKey,
    id: &str,
    launch: &Launch,
    limits: &DeviceLimits,
) -> Result<(), InvalidInput> {
    key.require_supported(OPERATION)?;
    let variant = variant(id).ok_or_else(|| unknown(OPERATION, id))?;
    let clustered = ["launch.splits", "launch.cluster"];
    require_parameters(OPERATION, launch, &clustered[..1 + usize::from(launch.cluster.is_some())])?;
    let Some(splits) = splits(launch) else {
        let required = format!("{}, the splits, or absent", launch.splits.unwrap_or_default());
        return Err(InvalidInput::new(
            OPERATION,
            "launch.cluster",
            required,
            launch.cluster.unwrap_or_default(),
        ));
    };
    let candidate = Candidate { variant, splits };
    let problem = key.problem();
    AttentionPlan::new(&problem, variant, candidate.splits)?;
    let reason = space::exclusion(&problem, limits, candidate);
    reason.map_or(Ok(()), |reason| Err(cannot_launch(OPERATION, id, &reason)))
}

pub(super) fn default(key: &AttentionKey, limits: &DeviceLimits) -> Option<(&'static str, Launch)> {
    key.require_supported(OPERATION).ok()?;
    let candidate = space::default_candidate(&key.problem(), limits).ok()?;
    Some((candidate.variant.id, candidate.into()))
}

fn variant(id: &str) -> Option<&'static AttentionVariant> {
    match listed::find(id)?.variant {
        Variant::Attention(variant) => Some(variant),
        _ => None,
    }
}
