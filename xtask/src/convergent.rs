//! Marks inline assembly `convergent`.
//!
//! rustc marks functions on this target, but not `asm!` calls; unmarked, LLVM may sink a shuffle into a branch or
//! double a barrier. Marking is the default, because it is always right; what is listed in [`PER_THREAD`] is exempt,
//! because a mark keeps LLVM from unrolling loops and so from having several loads in flight. Source locations go,
//! so that the module changes only when the code does.

use anyhow::{Context, Result};

/// Instructions whose effect does not depend on what the other threads do: they may move into and out of branches.
pub const PER_THREAD: &[&str] = &[
    "atom.relaxed.cta.shared.add",
    "cp.async.bulk.shared::cluster.global",
    "cp.async.ca",
    "cp.async.cg",
    "cvt",
    "ex2",
    "fma",
    "ld.global",
    "ld.shared",
    "ld.shared::cluster",
    "lg2",
    "mapa",
    "max.f32",
    "mov",
    "red.relaxed.cluster.shared::cluster.add",
    "red.relaxed.cta.shared.add",
    "st.global",
    "st.shared",
    "st.shared::cluster",
    "trap",
];

/// The module with every inline-assembly call marked that has to be, and without the calls' source locations.
///
/// # Errors
/// A line has inline assembly that is not understood, so that it would stay unmarked.
pub fn mark(module: &str) -> Result<String> {
    let mut marked = String::with_capacity(module.len() + module.len() / 64);
    for line in module.lines() {
        match assembly_start(line) {
            None => marked += line,
            Some(start) => {
                let (template, end) = parse(line, start)
                    .with_context(|| format!("this inline assembly would stay unmarked: {}", line.trim()))?;
                marked += &line[..end];
                if !is_per_thread(template) && !is_marked(&line[end..]) {
                    marked += " convergent";
                }
                marked += without_source_location(&line[end..]);
            }
        }
        marked.push('\n');
    }
    Ok(marked)
}

/// Where a call's `asm` keyword ends. `module asm` declares and is not a call; words in strings are not keywords.
fn assembly_start(line: &str) -> Option<usize> {
    if line.starts_with("module asm") {
        return None;
    }
    let mut quoted = false;
    line.char_indices().find_map(|(index, c)| {
        quoted ^= c == '"';
        (!quoted && line[index..].starts_with(" asm ")).then_some(index + " asm ".len())
    })
}

/// The assembly template, and where the argument list's closing parenthesis ends.
fn parse(line: &str, start: usize) -> Option<(&str, usize)> {
    let open = start + line[start..].find('"')? + 1;
    let close = open + line[open..].find('"')?;
    let constraints = close + 1 + line[close + 1..].find('"')? + 1;
    let arguments = constraints + line[constraints..].find('"')? + 1;
    if !line[arguments..].starts_with('(') {
        return None;
    }
    let (mut depth, mut quoted) = (0u32, false);
    for (index, c) in line[arguments..].char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some((&line[open..close], arguments + index + 1));
                }
            }
            _ => {}
        }
    }
    None
}

/// What stands behind the arguments, without the cookie that changes whenever a line moves.
fn without_source_location(behind_arguments: &str) -> &str {
    behind_arguments.split_once(", !srcloc !").map_or(behind_arguments, |(before, _)| before)
}

fn is_marked(behind_arguments: &str) -> bool {
    behind_arguments.split([' ', ',']).any(|word| word == "convergent")
}

/// Whether the template is one instruction, and that one is listed.
fn is_per_thread(template: &str) -> bool {
    let instruction = template.trim().trim_end_matches(';');
    let opcode = instruction.split(' ').next().unwrap_or_default();
    let listed =
        |name: &&str| opcode.strip_prefix(*name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    !instruction.contains([';', '\\']) && PER_THREAD.iter().any(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line: &str) -> String {
        mark(line).unwrap().trim_end().to_owned()
    }

    #[test]
    fn an_effectful_call_is_marked_behind_its_arguments() {
        assert_eq!(
            line(r#"  call void asm sideeffect "barrier.sync 0;", "~{memory}"(), !srcloc !6"#),
            r#"  call void asm sideeffect "barrier.sync 0;", "~{memory}"() convergent"#
        );
    }

    #[test]
    fn a_pure_call_is_marked_before_its_attribute_group() {
        assert_eq!(
            line(
                r#"  %3 = tail call i32 asm "shfl.sync.bfly.b32 ${0}, ${1};", "=&r,r"(i32 %"a)b") #21, !srcloc !7"#
            ),
            r#"  %3 = tail call i32 asm "shfl.sync.bfly.b32 ${0}, ${1};", "=&r,r"(i32 %"a)b") convergent #21"#
        );
    }

    #[test]
    fn a_marked_call_is_left_as_it_is() {
        let marked = r#"  call void asm sideeffect "barrier.sync 0;", ""() convergent #6"#;
        assert_eq!(line(marked), marked);
    }

    #[test]
    fn per_thread_instructions_are_exempt_and_their_neighbours_are_not() {
        for (template, exempt) in [
            ("ex2.approx.ftz.f32 ${0}, ${1};", true),
            ("ld.global.v4.b32 {${0}}, [${1}];", true),
            ("cp.async.cg.shared.global [${0}], [${1}], 16;", true),
            ("cp.async.wait_group 1;", false),
            ("cp.async.bulk.wait_group 0;", false),
            (
                "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [${0}], [${1}], 16, [${2}];",
                true,
            ),
            ("ld.shared::cluster.b32 ${0}, [${1}];", true),
            ("red.relaxed.cta.shared.add.u32 [${0}], ${1};", true),
            ("red.async.relaxed.cluster.shared::cluster.add.u32 [${0}], ${1}, [${2}];", false),
            ("barrier.cluster.wait.acquire.aligned;", false),
            ("mbarrier.arrive.release.cta.shared::cta.b64 ${0}, [${1}];", false),
            ("movmatrix.sync.aligned.m8n8.trans.b16 ${0}, ${1};", false),
            ("mov.u32 ${0}, ${1}; bar.sync 0;", false),
            ("mov.u32 ${0}, ${1};\\0Abar.sync 0", false),
            ("", false),
        ] {
            assert_eq!(is_per_thread(template), exempt, "{template}");
        }
    }

    #[test]
    fn assembly_that_is_not_understood_is_an_error() {
        assert!(mark(r#"  call void asm sideeffect inteldialect 5(i32 %x)"#).is_err());
        assert!(mark(r#"  call void asm "bar.sync 0;", "~{memory}"(i32 %x"#).is_err());
    }

    #[test]
    fn declarations_and_strings_are_not_calls() {
        for other in
            [r#"module asm ".extern .shared .b8 dynsmem[];""#, r#"@s = constant [9 x i8] c"an asm \22x""#]
        {
            assert_eq!(line(other), other);
        }
    }
}
