//! The variants that a choice may name.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::{
    error::Problem,
    key::Key,
    schema::{Choice, Launch},
};
use crate::InvalidInput;

/// The variants of one build on one device, as far as a profile has to know them. The kernel is the key's.
pub trait Catalogue {
    /// The variant of this stable id for the key's kernel on the key's kind of device. It may be one that is launched
    /// behind another.
    fn variant(&self, key: &Key, id: &str) -> Option<Known<'_>>;

    /// Whether the variant, launched so, serves every problem of the key's bucket.
    ///
    /// # Errors
    /// The first property of the variant, or launch parameter, that is not as the key needs it.
    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput>;

    /// The choice of a build without a profile; nothing if no variant serves the key.
    fn default(&self, key: &Key) -> Option<Choice>;

    /// The choice of the variant `id`, launched so, bound to this build. That it serves the key is for
    /// [`check`](Self::check) to say.
    ///
    /// # Errors
    /// [`Problem::UnknownVariant`] for the first variant named that does not exist here.
    fn bind(&self, key: &Key, id: &str, launch: &Launch) -> Result<Choice, Problem> {
        let known =
            |id: &str| self.variant(key, id).ok_or_else(|| Problem::UnknownVariant { variant: id.into() });
        let first = known(id)?;
        let (revision, ptx_digest) = match &launch.fold {
            None => (first.revision, first.ptx_digest.map(Cow::into_owned)),
            Some(fold) => {
                let second = known(fold)?;
                let digests = first.ptx_digest.zip(second.ptx_digest);
                let digest = digests.map(|(first, second)| of_both(&first, &second));
                (first.revision.saturating_add(second.revision), digest)
            }
        };
        Ok(Choice { variant: id.into(), revision, ptx_digest, launch: launch.clone() })
    }
}

/// What a choice is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// SHA-256 of the variant's PTX, in hexadecimal; a CPU variant has none.
    pub ptx_digest: Option<Cow<'a, str>>,
}

impl<T: Catalogue + ?Sized> Catalogue for &T {
    fn variant(&self, key: &Key, id: &str) -> Option<Known<'_>> {
        (**self).variant(key, id)
    }

    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput> {
        (**self).check(key, id, launch)
    }

    fn default(&self, key: &Key) -> Option<Choice> {
        (**self).default(key)
    }
}

/// The digest of a choice of two variants.
fn of_both(first: &str, second: &str) -> String {
    let digest = Sha256::digest(format!("{first}\n{second}\n"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks on behalf of `operation` that launch parameters are given where a variant has them, and absent where not.
///
/// # Errors
/// The first one that is missing or has no meaning.
pub(super) fn require_parameters(
    operation: &'static str,
    launch: &Launch,
    has: &[&'static str],
) -> Result<(), InvalidInput> {
    let Launch { fold, splits, cluster, threads } = launch;
    for (field, given) in [
        ("launch.fold", fold.clone()),
        ("launch.splits", splits.map(|value| value.to_string())),
        ("launch.cluster", cluster.map(|value| value.to_string())),
        ("launch.threads", threads.map(|value| value.to_string())),
    ] {
        match given {
            None if has.contains(&field) => {
                return Err(InvalidInput::new(operation, field, "given", "absent"));
            }
            Some(value) if !has.contains(&field) => {
                return Err(InvalidInput::new(operation, field, "absent", value));
            }
            _ => {}
        }
    }
    Ok(())
}
