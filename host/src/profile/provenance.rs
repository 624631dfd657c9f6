//! What has changed since a profile was written.

use toml::Table;

use super::{
    error::{Problem, Warning},
    schema::Provenance,
};

impl Provenance {
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
