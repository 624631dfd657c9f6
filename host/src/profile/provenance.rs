//! What has changed since a profile was written.

use toml::Table;

use super::{
    error::{Problem, Warning},
    key::DeviceId,
    schema::Provenance,
};

impl Provenance {
    /// The provenance of `device` where nothing else is known: absent fields and empty texts.
    #[must_use]
    pub const fn unknown(device: DeviceId) -> Self {
        Self {
            device,
            sm_count: None,
            cpu_threads: None,
            l2_kib: None,
            memory_mib: None,
            driver: None,
            cuda: None,
            power_limit_w: None,
            mig: None,
            kernel_source_hash: String::new(),
            search_space_hash: String::new(),
            crate_version: String::new(),
            date: String::new(),
        }
    }

    /// A warning for every field in which this provenance, read from a file, differs from what is so `now`. The date
    /// is no such field.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<Warning> {
        let (then, now) = (fields(self), fields(now));
        let names = then.keys().chain(now.keys().filter(|&name| !then.contains_key(name)));
        let word = |table: &Table, name: &str| table.get(name).map_or("unknown".into(), ToString::to_string);
        names
            .filter(|&name| name != "date" && then.get(name) != now.get(name))
            .map(|name| {
                let problem = Problem::Provenance { then: word(&then, name), now: word(&now, name) };
                Warning::new(format!("provenance.{name}"), problem)
            })
            .collect()
    }
}

/// By name, so that a new field is compared as soon as the schema has it.
fn fields(provenance: &Provenance) -> Table {
    // Nothing but strings, small integers and flags: there is nothing that TOML cannot express.
    Table::try_from(provenance).unwrap_or_default()
}
