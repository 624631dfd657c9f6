//! Which heads score for a pair of models.
//!
//! | file | what it holds |
//! |---|---|
//! | `words` | head subsets in words |

mod words;

pub(crate) use words::spell;
