//! What a run finds wrong, as data and as sentences.

use std::{fmt, panic::Location};

pub use super::fault::Fault;

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
    pub(super) const fn does(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Write => "writes",
            Self::Atomic => "atomically updates",
        }
    }

    pub(super) const fn did(self) -> &'static str {
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
