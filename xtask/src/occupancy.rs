//! How many blocks of a kernel one multiprocessor holds at once.
//!
//! Source: CUDA C++ Programming Guide, "Compute Capabilities", technical specifications.

/// What a multiprocessor shares out to blocks.
#[derive(Clone, Copy, Debug)]
pub struct Multiprocessor {
    /// Shared memory in bytes, of which each block also takes [`RESERVED_SHARED`].
    shared: u32,
}

/// Shared memory that the system takes for each block, in bytes.
const RESERVED_SHARED: u32 = 1024;
const REGISTERS: u32 = 64 * 1024;
const THREADS: u32 = 2048;
const BLOCKS: u32 = 32;
/// Registers are allotted to warps in units of this many.
const REGISTER_UNIT: u32 = 256;

impl Multiprocessor {
    /// The multiprocessor of `architecture`, as ptxas names it.
    #[must_use]
    pub fn of(architecture: &str) -> Option<Self> {
        let kibibytes = match architecture {
            "sm_80" => 164,
            "sm_90" | "sm_90a" => 228,
            _ => return None,
        };
        Some(Self { shared: kibibytes * 1024 })
    }

    /// Whether a block of `shared` bytes of shared memory can be launched at all.
    #[must_use]
    pub fn holds(self, shared: u32) -> bool {
        shared + RESERVED_SHARED <= self.shared
    }

    /// Blocks of `threads` threads that it holds, where each thread takes `registers` and each block `shared` bytes.
    #[must_use]
    pub fn blocks(self, threads: u32, registers: u32, shared: u32) -> u32 {
        let warps = threads.div_ceil(32);
        let block_registers = warps * (32 * registers).next_multiple_of(REGISTER_UNIT);
        BLOCKS
            .min(THREADS / (32 * warps).max(1))
            .min(REGISTERS / block_registers.max(1))
            .min(self.shared / (shared + RESERVED_SHARED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_resource_limits_the_blocks() {
        let sm_80 = Multiprocessor::of("sm_80").unwrap();
        assert_eq!(sm_80.blocks(128, 32, 0), 16, "threads");
        assert_eq!(sm_80.blocks(128, 138, 0), 3, "registers: 4 warps of 32 x 138, rounded to 4608");
        assert_eq!(sm_80.blocks(128, 32, 80 * 1024), 2, "shared memory");
        assert_eq!(sm_80.blocks(32, 16, 0), 32, "blocks");
        assert_eq!(sm_80.blocks(128, 32, 200 * 1024), 0, "more shared memory than there is");
        assert_eq!(Multiprocessor::of("sm_90").unwrap().blocks(128, 32, 200 * 1024), 1);
        assert!(Multiprocessor::of("sm_70").is_none());
    }
}
