//! The profiles that the repository ships.

use std::path::Path;

use dustin::profile;

/// What was measured by us; a user's own profiles may lie beside them.
const SHIPPED: &[&str] = &["nvidia-h200.toml"];

/// That their choices are those of the present kernels is not asked here: a kernel may be edited where there is no GPU to
/// tune it again, and its entries are void until then.
#[test]
fn every_shipped_profile_reads_without_a_warning_and_bears_its_certificates() {
    for name in SHIPPED {
        let read =
            profile::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles").join(name)).unwrap();
        assert!(read.warnings.is_empty(), "{name}: {:?}", read.warnings);
        assert!(!read.profile.entries.is_empty(), "{name} holds no entry");
        for entry in &read.profile.entries {
            assert!(!entry.is_manual(), "{name}: {} was edited by hand", entry.key);
        }
    }
}
