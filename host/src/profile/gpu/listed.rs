//! The registry's variants by id, with the digests of their PTX.

use std::{
    collections::HashMap,
    sync::{LazyLock, OnceLock},
};

use dustin_kernels::registry::{
    ATTENTION, AttentionVariant, FOLD, FoldVariant, LOGITS, LogitsVariant, Ptx, SELECT, SelectVariant,
};

use crate::profile::key::Kernel;

/// A variant of any kernel.
#[derive(Clone, Copy)]
pub(super) enum Variant {
    Attention(&'static AttentionVariant),
    Logits(&'static LogitsVariant),
    Fold(&'static FoldVariant),
    Select(&'static SelectVariant),
}

/// A variant, and what is computed of it when a profile first names it.
pub(super) struct Listed {
    pub(super) variant: Variant,
    digest: OnceLock<Option<String>>,
}

/// Hashing a variant's PTX takes longer than reading its entry, so it is done once and only for variants that a profile
/// names.
static BY_ID: LazyLock<HashMap<&'static str, Listed>> = LazyLock::new(|| {
    let attention = ATTENTION.iter().map(Variant::Attention);
    let score = LOGITS.iter().map(Variant::Logits).chain(FOLD.iter().map(Variant::Fold));
    let listed = |variant: Variant| (variant.id(), Listed { variant, digest: OnceLock::new() });
    let select = SELECT.iter().map(Variant::Select);
    attention.chain(score).chain(select).map(listed).collect()
});

/// The variant of this stable id.
pub(super) fn find(id: &str) -> Option<&'static Listed> {
    BY_ID.get(id)
}

impl Listed {
    /// The SHA-256 of its PTX, where the build has it.
    pub(super) fn digest(&self) -> Option<&str> {
        self.digest.get_or_init(|| self.variant.ptx().digest()).as_deref()
    }
}

impl Variant {
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Attention(variant) => variant.id,
            Self::Logits(variant) => variant.id,
            Self::Fold(variant) => variant.id,
            Self::Select(variant) => variant.id,
        }
    }

    pub(super) const fn revision(self) -> u32 {
        match self {
            Self::Attention(variant) => variant.revision,
            Self::Logits(variant) => variant.revision,
            Self::Fold(variant) => variant.revision,
            Self::Select(variant) => variant.revision,
        }
    }

    /// The kernel that it serves.
    pub(super) const fn kernel(self) -> Kernel {
        match self {
            Self::Attention(_) => Kernel::SparseAttention,
            Self::Logits(_) | Self::Fold(_) => Kernel::SrhScore,
            Self::Select(_) => Kernel::Selection,
        }
    }

    const fn ptx(self) -> Ptx {
        match self {
            Self::Attention(variant) => variant.ptx,
            Self::Logits(variant) => variant.ptx,
            Self::Fold(variant) => variant.ptx,
            Self::Select(variant) => variant.ptx,
        }
    }
}
