//! What inputs made up from a seed have in common: normally distributed items, block tables over shuffled pages, and
//! poison for whatever must not be read.

mod cache;
mod items;

pub(crate) use self::{
    cache::{FreePages, padded_cache},
    items::{Items, POISON_INDICES, Spread, nans, room},
};

/// The bits of a NaN, in both element types.
pub const NAN: u16 = 0x7fff;

/// How unequal the probabilities are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// Logits of standard deviation 1: every token counts.
    Flat,
    /// Logits of standard deviation 8: few tokens count.
    Peaked,
}

impl Logits {
    /// The spread of the queries that, with keys of [`Spread::One`] and a scale of 1 / √head_dim, gives such logits.
    pub(crate) const fn query_spread(self) -> Spread {
        match self {
            Self::Flat => Spread::One,
            Self::Peaked => Spread::Eight,
        }
    }
}
