use dustin::profile::*;

use crate::support::*;

fn error(text: &str) -> String {
    let message = parse_text(text).unwrap_err().to_string();
    assert!(message.starts_with("profile h200.toml"), "{message}");
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn the_file_reads_like_this() {
    let mut profile = profile();
    profile.entries.truncate(1);
    // The certificate too: it must not change with the libraries, or every profile in use turns manual.
    assert_eq!(render(&profile).unwrap(), include_str!("sample.toml"));
}

#[test]
fn an_empty_file_is_named_as_such() {
    for text in ["", "\n  \n"] {
        assert!(matches!(parse_text(text), Err(ProfileError::Empty { .. })));
    }
    assert!(error("").contains("is empty; tune again"));
}

#[test]
fn what_is_not_toml_is_reported_with_its_line() {
    let text = sample_text().replacen("[provenance]", "[provenance", 1);
    let line = text.lines().position(|line| line == "[provenance").unwrap() + 1;
    assert!(matches!(parse_text(&text), Err(ProfileError::NotToml { line: found, .. }) if found == line));
    assert!(error("{\"json\": true}").contains("must be TOML"));
}

#[test]
fn toml_of_another_program_is_foreign() {
    for text in ["[package]\nname = \"dustin\"\n", "format = \"other\"\nschema_version = 1\n", "# nothing\n"]
    {
        assert!(matches!(parse_text(text), Err(ProfileError::Foreign { .. })), "{text}");
    }
    assert!(error("[package]").contains("format = \"dustin-profile\""));
}

#[test]
fn files_of_the_first_schemas_are_read_with_their_certificates() {
    for version in [1, 2] {
        let older = sample_text().replacen("schema_version = 3", &format!("schema_version = {version}"), 1);
        assert_ne!(older, sample_text());
        assert_eq!(parse_text(&older).unwrap(), parse_text(&sample_text()).unwrap());
    }
}

#[test]
fn a_later_schema_is_refused_by_its_version_and_not_by_its_fields() {
    let later = sample_text().replacen("schema_version = 3", "schema_version = 4\nnovelty = true", 1);
    assert!(matches!(parse_text(&later), Err(ProfileError::Newer { found: 4, .. })));
    assert!(error(&later).contains("schema_version must be at most 3, but is 4; update this software"));
    // Also where nothing but the number has changed.
    let number = sample_text().replacen("schema_version = 3", "schema_version = 4", 1);
    assert!(matches!(parse_text(&number), Err(ProfileError::Newer { found: 4, .. })));
}

#[test]
fn versions_that_never_were_are_refused() {
    for version in ["0", "-1", "\"one\"", "1.5", "99999999999999999999"] {
        let text = sample_text().replacen("schema_version = 3", &format!("schema_version = {version}"), 1);
        let refused = parse_text(&text);
        assert!(
            matches!(refused, Err(ProfileError::Invalid { .. } | ProfileError::NotToml { .. })),
            "{version}: {refused:?}"
        );
    }
}

#[test]
fn a_missing_section_is_named() {
    let text = sample_text();
    let (head, rest) = text.split_once("\n[provenance]").unwrap();
    let (_, entries) = rest.split_once("\n[[entry]]").unwrap();
    let message = error(&format!("{head}\n[[entry]]{entries}"));
    assert!(message.contains("missing field `provenance`"), "{message}");
    for field in ["schema_version", "entry_count"] {
        let without: String =
            text.lines().filter(|line| !line.starts_with(field)).map(|line| format!("{line}\n")).collect();
        assert!(error(&without).contains(&format!("missing field `{field}`")));
    }
}

#[test]
fn an_unknown_field_in_the_head_is_refused_by_name() {
    let text = sample_text().replacen("sm_count", "sm_cuont", 1);
    let message = error(&text);
    assert!(message.contains("unknown field `sm_cuont`"), "{message}");
    let text = format!("{}\n[extra]\n", sample_text());
    assert!(error(&text).contains("unknown field `extra`"));
}

#[test]
fn a_section_of_the_wrong_kind_is_refused() {
    let text = sample_text().replacen("[provenance]", "[[provenance]]", 1);
    assert!(matches!(parse_text(&text), Err(ProfileError::Invalid { .. })));
    let text = "format = \"dustin-profile\"\nschema_version = 1\nentry_count = 1\nentry = 3\n";
    assert!(matches!(parse_text(text), Err(ProfileError::Invalid { .. })));
}

#[test]
fn a_bad_entry_is_reported_by_number_and_line_and_the_others_are_used() {
    let text = sample_text().replacen("head_dim = 128", "head_dim = \"wide\"", 1);
    let line = text.lines().position(|line| line == "[[entry]]").unwrap() + 1;
    let read = parse_text(&text).unwrap();
    assert_eq!(read.profile.entries.len(), 1);
    assert_eq!(read.warnings.len(), 1);
    assert_eq!(read.warnings[0].place, format!("entry 1 (line {line})"));
}

#[test]
fn what_cannot_be_read_is_written_again_as_it_was_read() {
    let edits = [
        ("head_dim = 128", "head_dim = \"wide\""),
        ("head_dim = 128", "head_dim = 128\nnovelty = [1, 2.5]"),
        ("variant = ", "vairant = "),
    ];
    let whole = parse_text(&sample_text()).unwrap().profile;
    for (from, to) in edits {
        let text = sample_text().replacen(from, to, 1);
        let read = parse_text(&text).unwrap();
        assert_eq!((read.profile.entries.len(), read.profile.unread.len()), (1, 1), "{to}");
        let written = render(&read.profile).unwrap();
        let again = parse_text(&written).unwrap();
        assert_eq!(again.profile, read.profile, "{to}");
        // One warning still, and none of entries that are missing.
        assert_eq!(again.warnings.len(), 1, "{:?}", again.warnings);
        // Corrected, it is what it was.
        assert!(written.contains(to), "{written}");
        let Read { mut profile, warnings } = parse_text(&written.replacen(to, from, 1)).unwrap();
        profile.entries.rotate_right(1);
        assert_eq!((profile, warnings), (whole.clone(), vec![]), "{to}");
    }
}

#[test]
fn an_entry_takes_the_place_of_one_of_its_key_that_cannot_be_read() {
    let text = sample_text().replacen("variant = ", "vairant = ", 1);
    let mut profile = parse_text(&text).unwrap().profile;
    profile.put(entry(key_with(|key| key.page_size = 128), "wide", 1));
    assert_eq!((profile.entries.len(), profile.unread.len()), (2, 1));
    profile.put(entry(key(), "wide", 1));
    assert_eq!((profile.entries.len(), profile.unread.len()), (3, 0));
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_a_warning_and_never_a_wrong_entry() {
    let text = sample_text();
    let whole = parse_text(&text).unwrap().profile;
    for end in 0..text.trim_end().len() {
        let Some(cut) = text.get(..end) else { continue };
        let Ok(read) = parse_text(cut) else { continue };
        assert!(
            !read.warnings.is_empty() || read.profile.entries.iter().any(Entry::is_manual),
            "cut at {end} goes unnoticed"
        );
        for (entry, original) in read.profile.entries.iter().zip(&whole.entries) {
            assert!(entry == original || entry.is_manual(), "cut at {end}");
        }
    }
}
