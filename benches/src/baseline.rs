//! What times are compared with: those of the best peer of each workload.
//!
//! The stored times were taken on an NVIDIA H200 in November 2026, by the method of `benches/peers`, with driver 580.159, torch
//! 2.11.0 and FlashInfer 0.6.6. Peers are on other clocks, and may be on newer code, than what is compared with them: what is
//! claimed is claimed of times taken in one run, which a file of [`Peers`] gives.

use dustin_autotune::workload::Workload;

use crate::peers::Peers;

/// A peer's time.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// The peer.
    pub name: String,
    /// Its median, in microseconds.
    pub us: f64,
}

/// Where baselines come from.
#[derive(Clone, Debug)]
pub enum Baselines {
    /// The stored times.
    Stored,
    /// A run of `peers` on the device at hand.
    Measured(Peers),
}

const DEVICE: &str = "NVIDIA H200";

const STORED: &[(&str, &str, f64)] = &[
    ("w1", "FlashInfer", 37.8),
    ("w1-rows8", "FlashInfer", 46.4),
    ("w1-k1024", "FlashInfer", 47.6),
    ("w1-k2048", "FlashInfer", 64.0),
    ("w1-b1", "FlashInfer", 11.2),
    ("w1-b4", "FlashInfer", 16.2),
    ("w1-b8-16k", "FlashInfer", 25.6),
    ("w1-b64-8k", "FlashInfer", 60.8),
    ("w1-full", "torch SDPA, cuDNN", 477.5),
    ("w1-full-b1", "FlashInfer", 48.7),
    ("w1-full-b8-16k", "torch SDPA, flash", 148.8),
    ("w1-score", "torch.compile", 465.0),
    ("w1-score-1kv", "torch.compile", 91.7),
    ("w1-score-draft", "torch.compile", 498.0),
    ("w1-select", "FlashInfer top_k", 26.3),
    ("w1-select-b64", "FlashInfer top_k", 27.2),
    ("w1-select-128k", "torch.topk", 76.5),
];

impl Baselines {
    /// Where and when the times were taken, in one line.
    #[must_use]
    pub fn source(&self, device: &str) -> String {
        match self {
            Self::Measured(peers) => peers.source(),
            Self::Stored if device == DEVICE => {
                "stored, of November 2026 (driver 580.159, torch 2.11.0, FlashInfer 0.6.6)".into()
            }
            Self::Stored => format!("none, as none are stored for {device}"),
        }
    }

    /// The baseline of a workload on a device, if there should be one.
    ///
    /// # Errors
    /// A run's file has no time for a workload that has peers: no stored one takes its place.
    pub fn of(&self, device: &str, workload: &Workload) -> anyhow::Result<Option<Baseline>> {
        match self {
            Self::Measured(peers) => peers.best(workload),
            Self::Stored => {
                let stored = |(known, ..): &&(&str, &str, f64)| device == DEVICE && *known == workload.name;
                let baseline = |&(_, name, us): &(&str, &str, f64)| Baseline { name: name.to_owned(), us };
                Ok(STORED.iter().find(stored).map(baseline))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use dustin_autotune::workload;

    use super::*;

    #[test]
    fn every_stored_time_is_of_a_built_in_workload_and_of_one_device() {
        let names: HashSet<&str> = STORED.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names.len(), STORED.len());
        for name in names {
            let workload = workload::named(name).unwrap();
            let of = |device| Baselines::Stored.of(device, &workload).unwrap();
            assert!(of(DEVICE).is_some_and(|baseline| baseline.us > 0.0));
            assert_eq!(of("NVIDIA H100"), None);
        }
        assert_ne!(Baselines::Stored.source(DEVICE), Baselines::Stored.source("NVIDIA H100"));
    }
}
