//! The whole page.

use askama::Template;
use dustin::profile::{Kernel, Profile};

use super::{
    bucket::Bucket,
    chart::{Mark, Roofline},
    heads::Pair,
    measured::Spaces,
};
use crate::{heads::HeadsRecord, search::median, table, task};

/// Which share of the ceiling an entry must reach for the ceiling to be read from it: below, the rounding of the share is
/// too coarse.
const TELLING: f64 = 0.1;

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
pub(crate) struct Page {
    device: String,
    date: String,
    /// The provenance.
    facts: Vec<(String, String)>,
    tiles: Vec<Tile>,
    /// What of the files could not be used.
    warnings: Vec<String>,
    journals: Vec<String>,
    roofline: Option<Roofline>,
    kernels: Vec<Section>,
    /// Whether any bucket shows its space.
    has_spaces: bool,
    /// Which heads score.
    pairs: Vec<Pair>,
}

/// A figure of the whole profile.
struct Tile {
    value: String,
    label: &'static str,
}

/// The buckets of a kernel.
struct Section {
    kernel: &'static str,
    buckets: Vec<Bucket>,
}

impl Page {
    /// The page of a profile, with what journals measured of its buckets, and runs of `heads` found of its selections. `journals` are
    /// the journals' files.
    pub(crate) fn new(
        profile: &Profile,
        (spaces, records): (&Spaces, &[HeadsRecord]),
        journals: Vec<String>,
        warnings: Vec<String>,
    ) -> Self {
        let bandwidth = bandwidth(profile);
        let buckets = profile.entries.iter().enumerate().map(|(index, entry)| {
            let space = spaces.of(&entry.key);
            (entry.key.kernel.kernel(), Bucket::new(entry, space, task::bytes(&entry.key), index))
        });
        let mut kernels: Vec<Section> = Vec::new();
        for kernel in [Kernel::SparseAttention, Kernel::SrhScore, Kernel::Selection] {
            let of_kernel = buckets.clone().filter(|(of, _)| *of == kernel).map(|(_, bucket)| bucket);
            kernels.push(Section { kernel: task::kernel(kernel), buckets: of_kernel.collect() });
        }
        kernels.retain(|section| !section.buckets.is_empty());
        let all = || kernels.iter().flat_map(|section| &section.buckets);
        let marks: Vec<Mark> = all()
            .filter_map(|bucket| {
                let found = bucket.measured.as_ref()?;
                Some(Mark {
                    label: bucket.name.clone(),
                    kernel: bucket.kernel,
                    bytes: bucket.bytes,
                    us: found.us,
                    default_us: found.default_us,
                })
            })
            .collect();
        Self {
            device: profile.provenance.device.name.clone(),
            date: profile.provenance.date.clone(),
            facts: facts(profile),
            tiles: tiles(&all().collect::<Vec<_>>(), profile.selections.len(), spaces),
            warnings,
            journals,
            has_spaces: all().any(|bucket| !bucket.strips.is_empty()),
            roofline: Roofline::new(&marks, bandwidth),
            kernels,
            pairs: profile
                .selections
                .iter()
                .zip(0..)
                .map(|(it, index)| Pair::new(it, records, index))
                .collect(),
        }
    }

    /// How many buckets it shows.
    pub(crate) fn buckets(&self) -> usize {
        self.kernels.iter().map(|section| section.buckets.len()).sum()
    }
}

/// Bytes per second at which the shares of the ceiling that are on record are 1, where there are any.
fn bandwidth(profile: &Profile) -> Option<f64> {
    let told = profile.entries.iter().filter_map(|entry| {
        let found = entry.measurement.as_ref()?;
        let share = found.roofline_fraction.filter(|&share| share >= TELLING)?;
        Some(task::bytes(&entry.key) as f64 / (share * found.median_us * 1e-6))
    });
    median(&told.collect::<Vec<f64>>())
}

fn facts(profile: &Profile) -> Vec<(String, String)> {
    let fields = toml::Table::try_from(&profile.provenance).unwrap_or_default();
    let told = fields.into_iter().map(|(field, value)| (field.replace('_', " "), table::plain(&value)));
    told.collect()
}

fn tiles(buckets: &[&Bucket], pairs: usize, spaces: &Spaces) -> Vec<Tile> {
    let measured: Vec<_> = buckets.iter().filter_map(|bucket| bucket.measured.as_ref()).collect();
    let mut tiles = Vec::new();
    let mut add = |value: String, label| tiles.push(Tile { value, label });
    if !buckets.is_empty() || pairs == 0 {
        add(buckets.len().to_string(), "buckets");
    }
    if pairs > 0 {
        add(pairs.to_string(), if pairs == 1 { "pair of models" } else { "pairs of models" });
    }
    if !measured.is_empty() {
        let mean = measured.iter().map(|found| found.speedup.ln()).sum::<f64>() / measured.len() as f64;
        add(format!("{:.3}x", mean.exp()), "over the default, geometric mean");
        let most = measured.iter().map(|found| found.speedup).fold(1.0, f64::max);
        add(format!("{most:.2}x"), "over the default, at most");
        let other = measured.iter().filter(|found| !found.is_default).count();
        add(other.to_string(), "choices other than the default");
    }
    let tried: usize = buckets.iter().map(|bucket| bucket.tried).sum();
    if tried > 0 {
        add(tried.to_string(), "candidates tried");
        add(buckets.iter().map(|bucket| bucket.failed).sum::<usize>().to_string(), "rejected or quarantined");
    }
    if let Some(seconds) = spaces.seconds() {
        add(table::seconds(seconds), "spent searching");
    }
    if let Some(bytes) = spaces.memory() {
        add(table::bytes(bytes), "of device memory, at its peak");
    }
    tiles
}
