//! What a run finds wrong, as data and as sentences.

use std::{fmt, panic::Location};

/// How memory is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// A plain load, `ldmatrix`, or the source of an asynchronous copy.
    Read,
    /// A plain store, or the destination of an asynchronous copy.
    Write,
    /// An atomic read-modify-write operation.
    Atomic,
}

impl Access {
    const fn does(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Write => "writes",
            Self::Atomic => "atomically updates",
        }
    }

    const fn did(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "wrote",
            Self::Atomic => "atomically updated",
        }
    }
}

/// A place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The block's shared memory.
    Shared {
        /// Byte address.
        address: u32,
    },
    /// The shared memory of another block of the cluster.
    Remote {
        /// Coordinates of that block.
        block: [u32; 3],
        /// Byte address.
        address: u32,
    },
    /// An allocation of global memory, or the gap around it.
    Global {
        /// Number of the allocation, in the order they were made, from 0.
        allocation: usize,
        /// Bytes from its start; negative before it.
        offset: i64,
    },
    /// Global memory far from any allocation.
    Nowhere {
        /// Byte address.
        address: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared { address } => write!(f, "shared memory at byte {address}"),
            Self::Remote { block: [x, y, z], address } => {
                write!(f, "shared memory of block ({x}, {y}, {z}) at byte {address}")
            }
            Self::Global { allocation, offset } => {
                write!(f, "global allocation {allocation} at byte {offset}")
            }
            Self::Nowhere { address } => write!(f, "global memory at {address:#x}, where no allocation is"),
        }
    }
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Source file, as the compiler was told it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl From<&Location<'_>> for Source {
    fn from(location: &Location<'_>) -> Self {
        Self { file: location.file().to_owned(), line: location.line(), column: location.column() }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A thread at a place in the source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Party {
    /// Block coordinates.
    pub block: [u32; 3],
    /// Thread in the block.
    pub thread: u32,
    /// Source location, where there is one.
    pub source: Option<Source>,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.block;
        write!(f, "block ({x}, {y}, {z}), thread {}", self.thread)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ", {source}"))
    }
}

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

/// A fault, and who met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the kernel.
    pub kernel: String,
    /// Who met it first.
    pub party: Party,
    /// What is wrong.
    pub fault: Fault,
    /// How often it was met, by whatever thread, between the same source locations.
    pub times: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {}, {}: {}", self.kernel, self.party, self.fault)?;
        if self.times > 1 { write!(f, " ({} times)", self.times) } else { Ok(()) }
    }
}

/// Everything that a run found wrong; at least one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The findings, in the order they were first met. One per kind and pair of source locations.
    pub findings: Vec<Finding>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finding) in self.findings.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
