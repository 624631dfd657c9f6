//! The variants that exist, as data for the host: stable ids, tiles, embedded PTX and the executor's entry.

use sha2::{Digest, Sha256};

use crate::{accept, attention, score, select};

pub use crate::{
    accept::variants::{ACCEPT_ROWS, ACCEPT_WALK},
    attention::variants::VARIANTS as ATTENTION,
    cache::variants::{APPEND, CAPTURE, COMPACT},
    score::variants::{FOLD, LOGITS},
    select::variants::SELECT,
};

/// The element type of queries, keys, values and outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

/// The lowest GPU that a variant's PTX runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Compute capability 8.0 and later.
    Sm80,
    /// Compute capability 9.0 and later.
    Sm90,
    /// Compute capability 9.0 exactly.
    Sm90a,
}

impl Target {
    /// The target's name in PTX.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm80 => "sm_80",
            Self::Sm90 => "sm_90",
            Self::Sm90a => "sm_90a",
        }
    }

    /// The PTX version that its files are written in.
    #[must_use]
    pub const fn ptx_version(self) -> &'static str {
        match self {
            Self::Sm80 => "ptx78",
            Self::Sm90 | Self::Sm90a => "ptx80",
        }
    }

    /// Whether a GPU of compute capability `major.minor` runs it.
    #[must_use]
    pub const fn runs_on(self, major: u32, minor: u32) -> bool {
        match self {
            Self::Sm80 => major >= 8,
            Self::Sm90 => major >= 9,
            Self::Sm90a => major == 9 && minor == 0,
        }
    }
}

/// A variant's PTX, where the crate was built with it.
#[derive(Clone, Copy, Debug)]
pub struct Ptx(Option<&'static str>);

impl Ptx {
    #[cfg(feature = "ptx")]
    pub(crate) const fn of(text: &'static str) -> Self {
        Self(Some(text))
    }

    #[cfg(not(feature = "ptx"))]
    pub(crate) const fn of() -> Self {
        Self(None)
    }

    /// The text, unless the crate was built without the feature `ptx`.
    #[must_use]
    pub const fn text(self) -> Option<&'static str> {
        self.0
    }

    /// The SHA-256 of the text, in hexadecimal, that a profile's choice is bound to.
    #[must_use]
    pub fn digest(self) -> Option<String> {
        let digest = Sha256::digest(self.0?);
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The SHA-256, in hexadecimal, of the kernel source that the embedded PTX was built from, unless the crate was built
/// without the feature `ptx`.
#[must_use]
pub fn source_hash() -> Option<&'static str> {
    #[cfg(feature = "ptx")]
    const MANIFEST: &str = include_str!("../ptx/manifest.toml");
    #[cfg(not(feature = "ptx"))]
    const MANIFEST: &str = "";
    MANIFEST.lines().find_map(|line| line.strip_prefix("source = \"")?.strip_suffix('"'))
}

/// One compiled configuration of the attention kernel.
#[derive(Clone, Copy, Debug)]
pub struct AttentionVariant {
    /// Stable id, the name of the PTX entry and of its file.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Element type.
    pub dtype: Dtype,
    /// Head size.
    pub head_dim: u32,
    /// Tile configuration.
    pub tile: attention::config::Tile,
    /// The embedded PTX.
    pub ptx: Ptx,
    /// The kernel's body, for the executor.
    ///
    /// # Safety
    /// Every array that the parameters name exists, with the documented shape, until the launch has ended.
    #[cfg(feature = "executor")]
    pub body: unsafe fn(&attention::params::Params),
}

impl AttentionVariant {
    /// The plan of one block's dynamic shared memory.
    #[must_use]
    pub const fn shared(&self) -> attention::smem::Plan {
        attention::smem::Plan::new(self.tile, self.head_dim)
    }

    /// What the PTX builder and the driver have to know of it; shared memory is that of a launch without clusters.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        Entry {
            name: self.id,
            target: self.target,
            threads: self.tile.threads(),
            blocks: self.tile.blocks(self.head_dim),
            shared_bytes: self.shared().bytes,
        }
    }
}

/// One compiled configuration of the `logits` kernel of scoring.
#[derive(Clone, Copy, Debug)]
pub struct LogitsVariant {
    /// Stable id, the name of the PTX entry and of its file.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Element type.
    pub dtype: Dtype,
    /// Head size.
    pub head_dim: u32,
    /// Tile configuration.
    pub tile: score::config::Tile,
    /// The embedded PTX.
    pub ptx: Ptx,
    /// The kernel's body, for the executor.
    ///
    /// # Safety
    /// Every array that the parameters name exists, with the documented shape, until the launch has ended.
    #[cfg(feature = "executor")]
    pub body: unsafe fn(&score::params::Params),
}

impl LogitsVariant {
    /// The plan of one block's dynamic shared memory, for so many KV heads, groups of 8 columns and groups of the
    /// source before.
    #[must_use]
    pub const fn shared(&self, kv_groups: u32, column_groups: u32, before: u32) -> score::smem::Plan {
        score::smem::Plan::new(self.tile, self.head_dim, kv_groups, column_groups, before)
    }

    /// What the PTX builder and the driver have to know of it; shared memory is an ordinary launch's.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        Entry {
            name: self.id,
            target: self.target,
            threads: self.tile.threads(),
            blocks: self.tile.blocks(self.head_dim),
            shared_bytes: self.shared(4, 4, 0).bytes,
        }
    }
}

/// One compiled configuration of the `fold` kernel of scoring.
#[derive(Clone, Copy, Debug)]
pub struct FoldVariant {
    /// Stable id, the name of the PTX entry and of its file.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Warps in a block, of which a multiprocessor is to have registers for 16.
    pub warps: u32,
    /// Whether the launch may overlap that of the last source.
    pub overlaps: bool,
    /// The embedded PTX.
    pub ptx: Ptx,
    /// The kernel's body, for the executor.
    ///
    /// # Safety
    /// Every array that the parameters name exists, with the documented shape, until the launch has ended.
    #[cfg(feature = "executor")]
    pub body: unsafe fn(&score::params::FoldParams),
}

impl FoldVariant {
    /// Dynamic shared memory of one block that folds `column_groups` of 8 columns, in bytes.
    #[must_use]
    pub const fn shared_bytes(&self, column_groups: u32) -> u32 {
        score::smem::FoldPlan::new(0, self.warps, column_groups).end
    }

    /// What the PTX builder and the driver have to know of it; shared memory is an ordinary launch's.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        Entry {
            name: self.id,
            target: self.target,
            threads: 32 * self.warps,
            blocks: 16 / self.warps,
            shared_bytes: self.shared_bytes(2),
        }
    }
}

/// One compiled configuration of the selection kernel.
#[derive(Clone, Copy, Debug)]
pub struct SelectVariant {
    /// Stable id, the name of the PTX entry and of its file.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Tile configuration.
    pub tile: select::config::Tile,
    /// The embedded PTX.
    pub ptx: Ptx,
    /// The kernel's body, for the executor.
    ///
    /// # Safety
    /// Every array that the parameters name exists, with the documented shape, until the launch has ended.
    #[cfg(feature = "executor")]
    pub body: unsafe fn(&select::params::Params),
}

impl SelectVariant {
    /// Dynamic shared memory of one block, in bytes.
    #[must_use]
    pub const fn shared_bytes(&self) -> u32 {
        select::smem::Plan::new(self.tile).bytes
    }

    /// What the PTX builder and the driver have to know of it.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        Entry {
            name: self.id,
            target: self.target,
            threads: self.tile.threads(),
            blocks: self.tile.blocks(),
            shared_bytes: self.shared_bytes(),
        }
    }
}

/// One compiled configuration of the `append` kernel.
#[derive(Clone, Copy, Debug)]
pub struct AppendVariant {
    /// Stable id, the name of the PTX entry and of its file.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Warps in a block.
    pub warps: u32,
    /// Whether the launch may overlap the one before.
    pub overlaps: bool,
    /// The embedded PTX.
    pub ptx: Ptx,
    /// The kernel's body, for the executor.
    ///
    /// # Safety
    /// Every array that the parameters name exists, with the documented shape, until the launch has ended.
    #[cfg(feature = "executor")]
    pub body: unsafe fn(&crate::cache::params::AppendParams),
}

impl AppendVariant {
    /// What the PTX builder and the driver have to know of it. Its registers, less than 32, leave a multiprocessor room
    /// for all the threads that it can have: one block bounds nothing.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        Entry { name: self.id, target: self.target, threads: 32 * self.warps, blocks: 1, shared_bytes: 0 }
    }
}

/// One compiled configuration of the `compact` kernel.
#[derive(Clone, Copy, Debug)]
pub struct CompactVariant {
    /// Stable id, the name of the PTX entry and of its file.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Warps in a block.
    pub warps: u32,
    /// The embedded PTX.
    pub ptx: Ptx,
    /// The kernel's body, for the executor.
    ///
    /// # Safety
    /// Every array that the parameters name exists, with the documented shape, until the launch has ended.
    #[cfg(feature = "executor")]
    pub body: unsafe fn(&crate::cache::params::CompactParams),
}

impl CompactVariant {
    /// What the PTX builder and the driver have to know of it. 1024 threads are to fit a multiprocessor, with 64
    /// registers each: half of them hold what a thread has in flight.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        Entry {
            name: self.id,
            target: self.target,
            threads: 32 * self.warps,
            blocks: 32 / self.warps,
            shared_bytes: 0,
        }
    }
}

/// One compiled configuration of the `capture` kernel.
#[derive(Clone, Copy, Debug)]
pub struct CaptureVariant {
    /// Stable id, the name of the PTX entry and of its file.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Warps in a block.
    pub warps: u32,
    /// The embedded PTX.
    pub ptx: Ptx,
    /// The kernel's body, for the executor.
    ///
    /// # Safety
    /// Every array that the parameters name exists, with the documented shape, until the launch has ended.
    #[cfg(feature = "executor")]
    pub body: unsafe fn(&crate::cache::params::CaptureParams),
}

impl CaptureVariant {
    /// What the PTX builder and the driver have to know of it. As for appending, one block bounds nothing.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        Entry { name: self.id, target: self.target, threads: 32 * self.warps, blocks: 1, shared_bytes: 0 }
    }
}

/// One compiled configuration of the `accept_rows` kernel.
#[derive(Clone, Copy, Debug)]
pub struct AcceptRowsVariant {
    /// Stable id, the name of the PTX entry and of its file.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Warps in a block.
    pub warps: u32,
    /// The embedded PTX.
    pub ptx: Ptx,
    /// The kernel's body, for the executor.
    ///
    /// # Safety
    /// Every array that the parameters name exists, with the documented shape, until the launch has ended.
    #[cfg(feature = "executor")]
    pub body: unsafe fn(&accept::params::Params),
}

impl AcceptRowsVariant {
    /// What the PTX builder and the driver have to know of it. 1024 threads are to fit a multiprocessor, with 64 registers
    /// each: half of them hold scores.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        Entry {
            name: self.id,
            target: self.target,
            threads: 32 * self.warps,
            blocks: 32 / self.warps,
            shared_bytes: accept::rows::shared_bytes(self.warps),
        }
    }
}

/// One compiled configuration of the `accept_walk` kernel.
#[derive(Clone, Copy, Debug)]
pub struct AcceptWalkVariant {
    /// Stable id, the name of the PTX entry and of its file.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Warps in a block.
    pub warps: u32,
    /// Blocks of the cluster that shares a sequence; 1: a launch without clusters.
    pub cluster: u32,
    /// The embedded PTX.
    pub ptx: Ptx,
    /// The kernel's body, for the executor.
    ///
    /// # Safety
    /// Every array that the parameters name exists, with the documented shape, until the launch has ended.
    #[cfg(feature = "executor")]
    pub body: unsafe fn(&accept::params::Params),
}

impl AcceptWalkVariant {
    /// What the PTX builder and the driver have to know of it. 512 threads are to fit a multiprocessor, with 128 registers each.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        Entry {
            name: self.id,
            target: self.target,
            threads: 32 * self.warps,
            blocks: 16 / self.warps,
            shared_bytes: accept::smem::Plan::new(self.warps).bytes,
        }
    }
}

/// What the PTX builder and the driver have to know of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Name of the entry, and of its file.
    pub name: &'static str,
    /// The lowest GPU that it runs on.
    pub target: Target,
    /// Threads in a block, the entry's launch bound.
    pub threads: u32,
    /// Blocks that a multiprocessor is to have registers for, the entry's other bound.
    pub blocks: u32,
    /// Dynamic shared memory of one block in bytes; where the launch decides, an ordinary launch's.
    pub shared_bytes: u32,
}

/// Every entry that is compiled to PTX: the variants of all kernels, and the probes that guard the compiler.
#[must_use]
pub fn entries() -> Vec<Entry> {
    let attention = ATTENTION.iter().map(AttentionVariant::entry);
    let logits = LOGITS.iter().map(LogitsVariant::entry);
    let fold = FOLD.iter().map(FoldVariant::entry);
    let select = SELECT.iter().map(SelectVariant::entry);
    let append = APPEND.iter().map(AppendVariant::entry);
    let compact = COMPACT.iter().map(CompactVariant::entry);
    let capture = CAPTURE.iter().map(CaptureVariant::entry);
    let accept = ACCEPT_ROWS
        .iter()
        .map(AcceptRowsVariant::entry)
        .chain(ACCEPT_WALK.iter().map(AcceptWalkVariant::entry));
    let caches = append.chain(compact).chain(capture);
    let kernels = attention.chain(logits).chain(fold).chain(select).chain(caches).chain(accept);
    kernels.chain(crate::probes::ENTRIES.iter().copied()).collect()
}
