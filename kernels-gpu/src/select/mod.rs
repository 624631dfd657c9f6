//! Block-wise Top-K with quotas: from importance maps to the verification set of each sequence.
//!
//! A set is the sequence's first positions (*sinks*) and its last (*recent*); then the `quota` best of the draft's map
//! among what is left; then the best of the target's map among what is left, until the set has `budget` positions. Ties go
//! to the lower position, and the set ascends. Positions may be chosen by *blocks*: a block's score is the sum of its
//! positions' scores, which in turn may be averages over a window.
//!
//! Scores are ordered as numbers (-0 equals +0, denormals count), with NaN below all of them.

pub mod params;
