use std::{fs, path::Path};

use dustin::profile::*;

use crate::support::*;

#[test]
fn what_was_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h200.toml");
    write(&path, &profile()).unwrap();
    let Read { profile: found, warnings } = read(&path).unwrap();
    assert_eq!((found, warnings), (profile(), vec![]));
}

#[test]
fn writing_leaves_nothing_but_the_profile_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h200.toml");
    write(&path, &profile()).unwrap();
    write(&path, &Profile::new(provenance())).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(read(&path).unwrap().profile.entries.is_empty());
}

#[test]
fn a_path_without_a_directory_is_in_the_working_directory() {
    let name = format!("profile-test-{}.toml", std::process::id());
    let path = Path::new(&name);
    let written = write(path, &profile());
    let found = read(path);
    let _ = fs::remove_file(path);
    written.unwrap();
    assert_eq!(found.unwrap().profile, profile());
}

#[test]
fn an_absent_file_a_directory_and_an_absent_folder_are_typed_errors() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.toml");
    let message = read(&absent).unwrap_err().to_string();
    assert!(
        message.contains("absent.toml: cannot be read") && message.contains("check the path"),
        "{message}"
    );
    assert!(matches!(read(folder.path()), Err(ProfileError::Read { .. })));
    assert!(matches!(write(folder.path(), &profile()), Err(ProfileError::Write { .. })));
    let nowhere = folder.path().join("no/such/folder.toml");
    let message = write(&nowhere, &profile()).unwrap_err().to_string();
    assert!(message.contains("folder.toml: cannot write a temporary file"), "{message}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn bytes_that_are_not_utf8_are_reported_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h200.toml");
    fs::write(&path, b"format = \"\xff\"").unwrap();
    assert!(matches!(read(&path), Err(ProfileError::NotUtf8 { offset: 10, .. })));
}

#[test]
fn a_file_of_absurd_size_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h200.toml");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(read(&path), Err(ProfileError::TooLarge { .. })));
}

#[cfg(unix)]
#[test]
fn a_new_profile_may_be_read_by_others_and_a_link_stays_a_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = tempfile::tempdir().unwrap();
    let (path, link, plain) =
        (folder.path().join("h200.toml"), folder.path().join("link.toml"), folder.path().join("plain"));
    write(&path, &profile()).unwrap();
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), mode(&plain));
    symlink(&path, &link).unwrap();
    write(&link, &Profile::new(provenance())).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(read(&path).unwrap().profile.entries.is_empty());
}

#[cfg(unix)]
#[test]
fn the_old_files_mode_is_kept() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h200.toml");
    write(&path, &profile()).unwrap();
    for mode in [0o600, 0o664] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        write(&path, &Profile::new(provenance())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_yet_stays_a_link() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("shared")).unwrap();
    let (link, second) = (folder.path().join("link.toml"), folder.path().join("shared/second.toml"));
    symlink("shared/second.toml", &link).unwrap();
    symlink("h200.toml", &second).unwrap();
    write(&link, &profile()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::symlink_metadata(&second).unwrap().is_symlink());
    assert_eq!(read(&folder.path().join("shared/h200.toml")).unwrap().profile, profile());
}

#[cfg(unix)]
#[test]
fn a_cycle_of_links_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h200.toml");
    std::os::unix::fs::symlink("h200.toml", &path).unwrap();
    write(&path, &profile()).unwrap();
    assert_eq!(read(&path).unwrap().profile, profile());
}

#[test]
fn readers_see_a_whole_profile_while_several_writers_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h200.toml");
    write(&path, &profile()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for round in 0..8 {
                    let mut profile = profile();
                    profile.put(entry(key(), "wide", 1 + (writer + round) % 8));
                    write(path, &profile).unwrap();
                }
            });
        }
        for _ in 0..100 {
            let found = read(&path).unwrap();
            assert!(found.warnings.is_empty(), "{:?}", found.warnings);
            assert!(found.profile.entries.len() == 2 && !found.profile.entries[0].is_manual());
        }
    });
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
