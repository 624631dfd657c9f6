//! The best peer's time of each workload, to compare with.
//!
//! Measured on an NVIDIA H200 (driver 580.159), bf16: medians over replays of CUDA graphs; inputs of attention and scoring
//! rotate beyond the L2 cache, maps stay in it. FlashInfer is 0.6.6: sparse attention by a page-1 index list, and `top_k` of
//! one map, unsorted. Peers are on other code and other clocks: what is claimed is claimed of times taken in one run.

/// A peer's time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// The peer.
    pub name: &'static str,
    /// Its median, in microseconds.
    pub us: f64,
}

const DEVICE: &str = "NVIDIA H200";

const PEERS: &[(&str, &str, f64)] = &[
    ("w1", "FlashInfer", 37.8),
    ("w1-rows8", "FlashInfer", 46.4),
    ("w1-k1024", "FlashInfer", 47.6),
    ("w1-k2048", "FlashInfer", 64.0),
    ("w1-b1", "FlashInfer", 11.2),
    ("w1-b4", "FlashInfer", 16.2),
    ("w1-b8-16k", "FlashInfer", 25.6),
    ("w1-b64-8k", "FlashInfer", 60.8),
    ("w1-score", "torch.compile", 465.0),
    ("w1-score-1kv", "torch.compile", 91.7),
    ("w1-score-draft", "torch.compile", 498.0),
    ("w1-select", "FlashInfer top_k", 26.3),
    ("w1-select-b64", "FlashInfer top_k", 27.2),
    ("w1-select-128k", "torch.topk", 76.5),
];

/// The baseline of a workload on a device, where one was measured.
#[must_use]
pub fn of(device: &str, workload: &str) -> Option<Baseline> {
    let (_, name, us) = *PEERS.iter().find(|(known, ..)| device == DEVICE && *known == workload)?;
    Some(Baseline { name, us })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use dustin_autotune::workload;

    use super::*;

    #[test]
    fn every_baseline_is_of_a_built_in_workload_and_of_one_device() {
        let names: HashSet<&str> = PEERS.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names.len(), PEERS.len());
        for name in names {
            assert!(workload::named(name).is_ok(), "{name}");
            assert!(of(DEVICE, name).is_some_and(|baseline| baseline.us > 0.0));
            assert_eq!(of("NVIDIA H100", name), None);
        }
    }
}
