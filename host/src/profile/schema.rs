//! The file's contents, version 3. Field order here is the order in the file.

use serde::{Deserialize, Serialize};
use toml::Table;

use super::{
    certificate,
    key::{DeviceId, Key},
    selection::Selection,
};

/// The version of the schema that this module writes. It reads version 1 too, which knew attention alone, and version 2, whose
/// selections did not say where they come from: what they say, version 3 says in the same words.
pub const SCHEMA_VERSION: u32 = 3;

/// The persisted result of tuning one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Where the choices come from.
    pub provenance: Provenance,
    /// Choices of variants, by bucket.
    pub entries: Vec<Entry>,
    /// Head subsets and budgets, by model pair.
    pub selections: Vec<Selection>,
    /// What a file held that is not as the schema has it. It serves nobody, and is written again as it was read.
    pub unread: Vec<Unread>,
}

/// A section that is not as the schema has it: an edit by hand that went wrong, and that whoever made it may still correct.
#[derive(Clone, Debug, PartialEq)]
pub struct Unread {
    /// `entry` or `selection`.
    pub(super) section: &'static str,
    pub(super) fields: Table,
}

impl Unread {
    /// The bucket, if it is an entry and says at least that.
    fn key(&self) -> Option<Key> {
        self.fields.get("key")?.clone().try_into().ok()
    }

    /// The models, if it is a selection and says at least those.
    fn pair(&self) -> Option<(&str, &str)> {
        Some((self.fields.get("target_model")?.as_str()?, self.fields.get("draft_model")?.as_str()?))
    }
}

impl Profile {
    /// A profile without choices.
    #[must_use]
    pub const fn new(provenance: Provenance) -> Self {
        Self { provenance, entries: Vec::new(), selections: Vec::new(), unread: Vec::new() }
    }

    /// Puts `entry` in the place of the entries of the same key, those that could not be read among them, or behind the
    /// last one.
    pub fn put(&mut self, entry: Entry) {
        let place = self.entries.iter().position(|known| known.key == entry.key);
        self.entries.retain(|known| known.key != entry.key);
        self.unread.retain(|known| known.key().as_ref() != Some(&entry.key));
        self.entries.insert(place.unwrap_or(self.entries.len()), entry);
    }

    /// Puts `selection` in the place of those of the same pair of models, those that could not be read among them, or
    /// behind the last one.
    pub fn put_selection(&mut self, selection: Selection) {
        let place = self.selections.iter().position(|known| known.pair() == selection.pair());
        self.selections.retain(|known| known.pair() != selection.pair());
        self.unread.retain(|known| known.pair() != Some(selection.pair()));
        self.selections.insert(place.unwrap_or(self.selections.len()), selection);
    }
}

/// What the choices were measured on and with. What a CPU does not have, or what nobody could ask, is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The device's model.
    pub device: DeviceId,
    /// Streaming multiprocessors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm_count: Option<u32>,
    /// Hardware threads of a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_threads: Option<u32>,
    /// L2 cache (of a CPU: last-level cache) in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l2_kib: Option<u32>,
    /// Memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Version of the GPU's driver, such as `580.159`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// CUDA version that the driver offers, such as `13.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    /// Enforced power limit in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_limit_w: Option<u32>,
    /// Whether the GPU is partitioned (MIG).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mig: Option<bool>,
    /// SHA-256 of the kernels' source, in hexadecimal.
    pub kernel_source_hash: String,
    /// SHA-256 of the space that was searched, in hexadecimal.
    pub search_space_hash: String,
    /// Version of this crate.
    pub crate_version: String,
    /// When the file was written, RFC 3339.
    pub date: String,
}

/// Which variant serves a bucket, and the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Whether a person wrote or changed the entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) manual: bool,
    /// Digest of everything else in the entry, set by whoever measured it; a manual entry has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<String>,
    /// What the choice is tuned for.
    pub key: Key,
    /// What was chosen.
    pub choice: Choice,
    /// The evidence; a manual entry may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<Measurement>,
}

impl Entry {
    /// An entry as measured, with its certificate. Changing it afterwards makes it a manual one for the next reader.
    #[must_use]
    pub fn measured(key: Key, choice: Choice, measurement: Measurement) -> Self {
        let mut entry =
            Self { manual: false, certificate: None, key, choice, measurement: Some(measurement) };
        entry.certificate = certificate::of(&entry);
        entry
    }

    /// An entry that a person decides on.
    #[must_use]
    pub const fn manual(key: Key, choice: Choice) -> Self {
        Self { manual: true, certificate: None, key, choice, measurement: None }
    }

    /// Whether a person wrote or changed the entry, so that its measurement proves nothing.
    #[must_use]
    pub const fn is_manual(&self) -> bool {
        self.manual
    }

    /// Flags the entry as manual unless its certificate belongs to its content.
    pub(super) fn judge(&mut self) {
        if self.manual || self.certificate.is_none() || self.certificate != certificate::of(self) {
            self.manual = true;
            self.certificate = None;
        }
    }
}

/// A variant, bound to what was measured, and its launch parameters.
///
/// Where the launch names a second variant, the revision is the sum of both, which rises with either, and the digest is
/// that of both digests, each in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The variant's stable id.
    pub variant: String,
    /// The variant's revision.
    pub revision: u32,
    /// SHA-256 of the variant's PTX, in hexadecimal; a CPU variant has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ptx_digest: Option<String>,
    /// What is decided at the launch.
    pub launch: Launch,
}

/// What is decided at the launch and not compiled in. A parameter that the variant does not have is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// The stable id of the variant that is launched behind the choice's own: the fold of scoring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
    /// Splits that each sequence's tokens are divided into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splits: Option<u32>,
    /// Blocks that share a sequence as a cluster. In attention, where splits merge without, it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<u32>,
    /// Threads of the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
}

/// How fast the choice was, next to the others. Times are of one launch, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Times taken of the choice.
    pub repetitions: u32,
    /// The choice's median time.
    pub median_us: f64,
    /// Lower end of the median's 95 % confidence interval.
    pub ci95_low_us: f64,
    /// Upper end of the median's 95 % confidence interval.
    pub ci95_high_us: f64,
    /// The least time that the memory traffic and the arithmetic allow, divided by the median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roofline_fraction: Option<f64>,
    /// The built-in default, measured in the same race.
    pub default: Timed,
    /// The candidates that could not be told apart from the choice, itself left out.
    #[serde(default)]
    pub tied: Vec<Timed>,
}

/// A candidate and its median time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// The variant's stable id.
    pub variant: String,
    /// What was decided at the launch.
    pub launch: Launch,
    /// Median time in microseconds.
    pub median_us: f64,
}
