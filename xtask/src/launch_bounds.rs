//! Writes each entry's launch bounds into its definition, so that registers are allotted for that many threads.
//!
//! A bound on the blocks of a multiprocessor, one unless the variant says more, keeps the assembler from guessing what is
//! wanted: where the guess was close, it spilled registers to get there.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use dustin_kernels::registry::Entry;

/// The module with launch bounds on every entry, and without the target that rustc was told: `opt` and `llc` name it.
///
/// # Errors
/// An entry's definition was not found.
pub fn annotate(module: &str, entries: &[Entry]) -> Result<String> {
    let bounds: HashMap<&str, (u32, u32)> =
        entries.iter().map(|entry| (entry.name, (entry.threads, entry.blocks))).collect();
    let mut bounded = 0;
    let mut annotated = String::with_capacity(module.len());
    for line in module.lines() {
        if let Some((signature, (threads, blocks))) =
            definition(line).and_then(|(name, signature)| Some((signature, bounds.get(name)?)))
        {
            annotated +=
                &format!("{signature}\"nvvm.maxntid\"=\"{threads},1,1\" \"nvvm.minctasm\"=\"{blocks}\" {{");
            bounded += 1;
        } else if line.starts_with("attributes #") {
            annotated += &without_attribute(&without_attribute(line, "target-cpu"), "target-features");
        } else {
            annotated += line;
        }
        annotated.push('\n');
    }
    ensure!(bounded == entries.len(), "{bounded} of {} entries were given launch bounds", entries.len());
    Ok(annotated)
}

/// The name of the entry that `line` defines, and the line without its opening brace.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (_, behind) = line.strip_prefix("define ")?.split_once(" @")?;
    Some((behind.split('(').next()?, line.strip_suffix('{')?))
}

/// `line` without the attribute `"name"="value"`.
fn without_attribute(line: &str, name: &str) -> String {
    let key = format!("\"{name}\"=\"");
    match line.split_once(&key).and_then(|(before, behind)| Some((before, behind.split_once('"')?.1))) {
        Some((before, behind)) => format!("{}{behind}", before.trim_end()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Target;

    use super::*;

    const ENTRY: Entry =
        Entry { name: "kernel", target: Target::Sm80, threads: 256, blocks: 1, shared_bytes: 0 };

    #[test]
    fn an_entry_gets_its_bounds_and_other_functions_get_none() {
        let module =
            "define ptx_kernel void @kernel(i64 %x) unnamed_addr #0 {\ndefine void @kernel2() #1 {\n";
        let expected = "define ptx_kernel void @kernel(i64 %x) unnamed_addr #0 \"nvvm.maxntid\"=\"256,1,1\" \"nvvm.minctasm\"=\"1\" {\n\
                        define void @kernel2() #1 {\n";
        assert_eq!(annotate(module, &[ENTRY]).unwrap(), expected);
    }

    #[test]
    fn an_entry_without_definition_is_an_error() {
        assert!(annotate("declare void @kernel(i64)\n", &[ENTRY]).is_err());
    }

    #[test]
    fn rustcs_target_is_removed() {
        let module = "attributes #0 = { nounwind \"target-cpu\"=\"sm_90\" \"target-features\"=\"+ptx80\" }\n";
        assert_eq!(annotate(module, &[]).unwrap(), "attributes #0 = { nounwind }\n");
    }
}
