//! What the text of an entry's PTX must and must not hold.

use dustin_kernels::{probes::leader_barrier, registry::Entry};

/// What is wrong with the PTX of `entry`; nothing if all is well.
#[must_use]
pub fn faults(entry: &Entry, ptx: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |holds: bool, fault: String| {
        if !holds {
            faults.push(format!("{}: {fault}", entry.name));
        }
    };
    // A misspelt entry yields an empty file, and success, from opt, llc and ptxas alike.
    expect(ptx.contains(&format!(".visible .entry {}(", entry.name)), "the entry is not in its PTX".into());
    expect(ptx.matches(".entry ").count() == 1, "its PTX does not hold exactly one entry".into());
    expect(
        ptx.lines().any(|line| line == format!(".target {}", entry.target.name())),
        format!("its PTX is not for {}", entry.target.name()),
    );
    expect(
        ptx.lines().any(|line| line == format!(".maxntid {}, 1, 1", entry.threads)),
        format!("it has no launch bound of {} threads", entry.threads),
    );
    expect(!ptx.contains(".local"), "it uses local memory".into());
    if entry.name == leader_barrier::NAME {
        let barriers = barriers(ptx);
        expect(
            barriers == leader_barrier::BARRIERS,
            format!(
                "{barriers} barriers were made of {}: the compiler duplicates them",
                leader_barrier::BARRIERS
            ),
        );
    }
    faults
}

/// Barriers across a block in the text.
fn barriers(ptx: &str) -> usize {
    let is_barrier = |line: &&str| {
        let statement = line.trim_start();
        let instruction = match statement.strip_prefix('@') {
            Some(predicated) => {
                predicated.split_once(char::is_whitespace).map_or("", |(_, behind)| behind.trim_start())
            }
            None => statement,
        };
        (instruction.starts_with("bar.") && !instruction.starts_with("bar.warp"))
            || instruction.starts_with("barrier.")
    };
    ptx.lines().filter(is_barrier).count()
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Target;

    use super::*;

    const ENTRY: Entry =
        Entry { name: "kernel", target: Target::Sm80, threads: 128, blocks: 1, shared_bytes: 0 };
    const PTX: &str =
        ".version 7.8\n.target sm_80\n.visible .entry kernel(\n)\n.maxntid 128, 1, 1\n{\n\tret;\n}\n";

    #[test]
    fn sound_ptx_has_no_faults() {
        assert_eq!(faults(&ENTRY, PTX), [""; 0]);
    }

    #[test]
    fn each_fault_is_found() {
        let cases: [(&str, &str, &str); 5] = [
            (".entry kernel(", ".entry kern(", "not in its PTX"),
            ("\tret;\n}\n", "\tret;\n}\n.visible .entry other(\n", "exactly one entry"),
            ("sm_80", "sm_90", "not for sm_80"),
            ("128, 1, 1", "256, 1, 1", "no launch bound of 128"),
            ("\tret;", "\tld.local.b32 \t%r1, [%rd1];", "local memory"),
        ];
        for (from, to, fault) in cases {
            let found = faults(&ENTRY, &PTX.replace(from, to));
            assert!(found.len() == 1 && found[0].contains(fault), "{fault}: {found:?}");
        }
        assert!(faults(&ENTRY, "").len() >= 3);
    }

    #[test]
    fn barriers_are_counted_with_and_without_a_predicate() {
        let ptx = "\tbarrier.sync 0;\n\t@%p1 bar.sync \t0;\n\tbar.warp.sync 0xffffffff;\n\tmbarrier.init;\n";
        assert_eq!(barriers(ptx), 2);
    }

    #[test]
    fn a_doubled_barrier_in_the_probe_is_found() {
        let probe = Entry { name: leader_barrier::NAME, ..ENTRY };
        let with = |count: usize| {
            PTX.replace("kernel", probe.name)
                .replace("{\n", &format!("{{\n{}", "\tbarrier.sync 0;\n".repeat(count)))
        };
        assert_eq!(faults(&probe, &with(2)), [""; 0]);
        for count in [0, 1, 3] {
            assert_eq!(faults(&probe, &with(count)).len(), 1, "{count}");
        }
    }
}
