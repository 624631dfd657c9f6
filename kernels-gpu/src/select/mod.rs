//! Block-wise Top-K with quotas: from importance maps to the verification set of each sequence.
//!
//! A set is the sequence's first positions (*sinks*) and its last (*recent*); then the `quota` best of the draft's map
//! among what is left; then the best of the target's map among what is left, until the set has `budget` positions. Ties go
//! to the lower position, and the set ascends. Positions may be chosen by *blocks*: a block's score is the sum of its
//! positions' scores, which in turn may be averages over a window. The kernel calls what is chosen together a *unit*.
//!
//! Scores are ordered as numbers (-0 equals +0, denormals count), with NaN below all of them.
//!
//! A sequence is the work of one thread block or of a cluster of them (`team`). Blocks need one exchange: each reads its
//! units in words of four (`units`), bounds what is best of them (`strands`, `bound`) and hands the few candidates, hardly more than what
//! is wanted of the whole sequence, to the first block (`candidates`), which verifies that the choice is among them, chooses and
//! writes the set (`leader`).
//!
//! Where candidates are too many or too much alike, or units too many for the leader's bits, and for pooling and blocks of
//! units, a map's best units are found by radix selection: a unit's *rank* is a number of 64 bits in which no two units are
//! equal (`rank`), and the team counts its digits from the top (`histogram`) until the bin that holds the last unit wanted holds
//! no other (`radix`). That gives a threshold, so that which units are chosen is a question to each unit alone; one more
//! pass counts what is chosen and writes it in order (`output`).

mod bound;
mod candidates;
pub mod config;
mod histogram;
pub mod kernel;
mod leader;
mod output;
pub mod params;
mod radix;
mod rank;
mod scan;
mod scores;
mod sequence;
pub mod smem;
mod strands;
mod team;
mod units;
pub mod variants;
