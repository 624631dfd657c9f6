//! What the operating system calls the CPU.

use std::fs;

/// The model's name as Linux gives it, else the architecture's: what profiles know the CPU by.
#[must_use]
pub fn name() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    model(&cpuinfo).unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// The model's name in the text of `/proc/cpuinfo`.
fn model(cpuinfo: &str) -> Option<String> {
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'))?.1.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_what_linux_says_if_it_does() {
        let cpuinfo = "processor\t: 0\nvendor_id\t: X\nmodel name\t: Some CPU @ 2.1GHz\n";
        assert_eq!(model(cpuinfo).as_deref(), Some("Some CPU @ 2.1GHz"));
        assert_eq!((model(""), model("model name\t:\n")), (None, None));
        assert!(!name().is_empty());
    }
}
