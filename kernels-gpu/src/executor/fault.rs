//! The faults that a run finds, as data and as sentences.

use std::fmt;

use super::report::{Access, Party, Place};

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// An access outside every allocation, or outside a block's shared memory.
    OutOfBounds {
        /// The access.
        access: Access,
        /// Where.
        place: Place,
        /// Bytes accessed.
        bytes: usize,
        /// Bytes that there are.
        size: u64,
    },
    /// An access whose address is no multiple of its size.
    Misaligned {
        /// The access.
        access: Access,
        /// Where.
        place: Place,
        /// Bytes accessed.
        bytes: usize,
    },
    /// A read of memory that nobody has written.
    Unwritten {
        /// Where.
        place: Place,
        /// Bytes accessed.
        bytes: usize,
    },
    /// A write to an input.
    ReadOnly {
        /// Where.
        place: Place,
    },
    /// Two accesses that nothing orders, at least one of them a write, not both atomic.
    Race {
        /// The later access, as the executor ran them.
        access: Access,
        /// Where.
        place: Place,
        /// Bytes accessed.
        bytes: usize,
        /// The earlier access.
        earlier: Access,
        /// Who made the earlier access.
        other: Party,
    },
    /// An access to the destination of an asynchronous copy that has not been waited for.
    InFlight {
        /// The access.
        access: Access,
        /// Where.
        place: Place,
        /// Who started the copy.
        other: Party,
    },
    /// A thread ended before it had waited for its asynchronous copies.
    NotAwaited {
        /// The copy's destination.
        place: Place,
    },
    /// Atomic operations of different blocks on one place, with nothing to order them, of which one is atomic for its own
    /// block alone.
    Scope {
        /// Where.
        place: Place,
        /// Who made the earlier one.
        other: Party,
    },
    /// An address in the shared memory of a block that the cluster does not have.
    NoSuchBlock {
        /// The block's rank.
        rank: u32,
        /// Blocks of the cluster.
        size: u32,
    },
    /// An access to the shared memory of another block, with nothing to say that the block has started.
    NotStarted {
        /// The access.
        access: Access,
        /// Where.
        place: Place,
    },
    /// An access to the shared memory of another block, with nothing to say that the block has not ended.
    MayHaveEnded {
        /// Coordinates of that block.
        block: [u32; 3],
    },
    /// A thread arrives at the cluster's barrier, or waits there, out of turn.
    ClusterBarrier {
        /// What it does.
        misuse: &'static str,
    },
    /// A bulk copy or a product of a warpgroup, which work through the asynchronous proxy, touches what was written through
    /// the generic one, with no proxy fence between.
    ProxyFence {
        /// Where.
        place: Place,
        /// Who wrote.
        other: Party,
    },
    /// A bulk copy of a size that is zero or no multiple of 16.
    BulkSize {
        /// Bytes to copy.
        bytes: u32,
    },
    /// An mbarrier is used as it must not be.
    Mbarrier {
        /// Where it is, or should be.
        place: Place,
        /// What happens to it.
        misuse: &'static str,
    },
    /// An mbarrier is left with bytes that were expected and have not been copied, or have been copied and not expected.
    TransactionBytes {
        /// Where the mbarrier is.
        place: Place,
        /// Bytes expected less bytes copied.
        bytes: i64,
    },
    /// The four warps of a group have not multiplied by the same operands.
    Warpgroup {
        /// Matrices that each of them has multiplied by; none for a warp that does not exist.
        matrices: [u32; 4],
    },
    /// Lanes of a warp do not meet at one warp-wide operation.
    Divergent {
        /// Where each lane stands.
        lanes: String,
    },
    /// Threads wait at a barrier for ever.
    BarrierNotReached {
        /// Where each thread stands.
        threads: String,
    },
    /// Threads name different numbers of participants for one named barrier, or an impossible number.
    BarrierCount {
        /// The barrier.
        barrier: u32,
        /// Participants that the first thread named, or the largest possible number.
        expected: u32,
        /// Participants that this thread named.
        actual: u32,
    },
    /// The kernel's code panicked.
    Panic {
        /// The panic's message.
        message: String,
    },
    /// The block performed more operations than [`Options::max_operations`](super::Options::max_operations).
    Runaway {
        /// The limit.
        limit: u64,
    },
    /// The launch itself is impossible.
    Launch {
        /// The field of [`Launch`](super::Launch).
        field: &'static str,
        /// What it may be.
        required: &'static str,
        /// What it is.
        actual: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds { access, place, bytes, size } => {
                write!(f, "out of bounds: {} {bytes} bytes of {place}, of {size} bytes in all", access.does())
            }
            Self::Misaligned { access, place, bytes } => {
                write!(f, "misaligned: {} {bytes} bytes of {place}", access.does())
            }
            Self::Unwritten { place, bytes } => {
                write!(f, "unwritten: reads {bytes} bytes of {place}, which nobody has written")
            }
            Self::ReadOnly { place } => write!(f, "read-only: writes {place}, an input"),
            Self::Race { access, place, bytes, earlier, other } => write!(
                f,
                "data race: {} {bytes} bytes of {place}, which {other} {} with nothing to order the two",
                access.does(),
                earlier.did()
            ),
            Self::InFlight { access, place, other } => write!(
                f,
                "in flight: {} {place}, the destination of an asynchronous copy by {other} that has not been waited for",
                access.does()
            ),
            Self::NotAwaited { place } => {
                write!(f, "not awaited: ends before it has waited for its asynchronous copy to {place}")
            }
            Self::Scope { place, other } => write!(
                f,
                "scope too narrow: atomically updates {place}, as {other} did, with nothing to order the two, one of \
                 them atomic for its block alone"
            ),
            Self::NoSuchBlock { rank, size } => {
                write!(f, "no such block: names block {rank} of a cluster of {size}")
            }
            Self::NotStarted { access, place } => write!(
                f,
                "not started: {} {place}, and nothing says that the block has started",
                access.does()
            ),
            Self::MayHaveEnded { block: [x, y, z] } => write!(
                f,
                "may have ended: accesses shared memory of block ({x}, {y}, {z}), and nothing keeps that block from ending"
            ),
            Self::ClusterBarrier { misuse } => write!(f, "cluster barrier out of turn: {misuse}"),
            Self::ProxyFence { place, other } => write!(
                f,
                "no proxy fence: touches {place} through the asynchronous proxy, which {other} wrote through the generic one, \
                 with no proxy fence between the two"
            ),
            Self::BulkSize { bytes } => {
                write!(f, "bulk size: copies {bytes} bytes, which is not a positive multiple of 16")
            }
            Self::Mbarrier { place, misuse } => write!(f, "mbarrier: the one in {place} is {misuse}"),
            Self::TransactionBytes { place, bytes: bytes @ 0.. } => write!(
                f,
                "transaction bytes: the mbarrier in {place} expects {bytes} bytes that have not been copied"
            ),
            Self::TransactionBytes { place, bytes } => write!(
                f,
                "transaction bytes: {} bytes were copied that the mbarrier in {place} did not expect",
                -bytes
            ),
            Self::Warpgroup { matrices: [a, b, c, d] } => write!(
                f,
                "warpgroup: its four warps multiply by {a}, {b}, {c} and {d} matrices, which must be the same ones"
            ),
            Self::Divergent { lanes } => write!(f, "divergent collective: {lanes}"),
            Self::BarrierNotReached { threads } => {
                write!(f, "barrier not reached by all threads: {threads}")
            }
            Self::BarrierCount { barrier, expected, actual } => {
                write!(f, "barrier {barrier} is waited for by {actual} threads here, by {expected} elsewhere")
            }
            Self::Panic { message } => write!(f, "panics: {message}"),
            Self::Runaway { limit } => {
                write!(f, "runs away: the block has performed {limit} operations and goes on")
            }
            Self::Launch { field, required, actual } => {
                write!(f, "launch: `{field}` must be {required}, and is {actual}")
            }
        }
    }
}
