//! A state directory, a working directory and an environment that somebody else has a hand in.

use crate::program::{Folder, STATE, smooth, stderr, told};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

#[test]
fn a_link_in_the_state_directory_is_refused_before_anything_is_written_through_it() {
    let folder = Folder::ended();
    let artifacts = fs::read_dir(folder.path("state/artifacts")).unwrap();
    let artifact = artifacts.last().unwrap().unwrap().file_name().into_string().unwrap();
    let artifact = format!("artifacts/{artifact}");
    let names = ["lock", "format", "acknowledged", "log", "log/db", "artifacts", &artifact];
    for name in names.map(|name| format!("state/{name}")) {
        let (inside, outside) = (folder.path(&name), folder.path("outside"));
        fs::rename(&inside, &outside).unwrap();
        symlink(&outside, &inside).unwrap();
        let before = modified(&outside);
        for arguments in [&["status"][..], &["resume"], &["run", "workflow.toml"], &["repair"]] {
            let output = folder.gleaner(arguments).output().unwrap();
            told(&output, STATE, &[&format!("{name} is a link")]);
        }
        assert_eq!(modified(&outside), before, "{name}");
        fs::remove_file(&inside).unwrap();
        fs::rename(&outside, &inside).unwrap();
    }
    assert_eq!(folder.digest(), smooth());
}

fn modified(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn a_copy_with_a_link_in_it_is_refused() {
    let folder = Folder::ended();
    fs::create_dir(folder.path("copy")).unwrap();
    symlink(folder.path("state/log"), folder.path("copy/log")).unwrap();
    let output = folder.gleaner(&["repair", "--copy", "copy"]).output().unwrap();
    told(&output, STATE, &["copy/log is a link"]);
}

#[test]
fn a_model_that_became_a_link_is_damage() {
    let folder = Folder::ended();
    let (digest, model) = folder.production_model();
    fs::rename(&model, folder.path("outside")).unwrap();
    symlink(folder.path("outside"), &model).unwrap();
    let repaired = folder.gleaner(&["repair"]).output().unwrap();
    let said = String::from_utf8(repaired.stdout).unwrap();
    assert!(said.contains(&format!("lost: artifact {digest}")), "{said}");
}

#[test]
fn a_link_in_the_place_of_the_socket_is_replaced_and_not_followed() {
    let folder = Folder::ended();
    folder.write("outside", "mine");
    symlink(folder.path("outside"), folder.path("state/control.sock")).unwrap();
    assert!(folder.run(&[]).status.success());
    assert_eq!(fs::read(folder.path("outside")).unwrap(), b"mine");
}

#[test]
fn the_state_directory_itself_may_be_a_link() {
    let folder = Folder::new();
    fs::create_dir(folder.path("elsewhere")).unwrap();
    symlink(folder.path("elsewhere"), folder.path("state")).unwrap();
    assert!(folder.run(&[]).status.success());
    assert_eq!(folder.digest(), smooth());
}

#[test]
fn python_is_told_no_secrets_and_its_complaints_show_none() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("venv/bin")).unwrap();
    // A Python that has pip, and a pip that finds nothing and tells where.
    let script = "#!/bin/sh\nenv >> \"$0.env\"\n[ \"$3\" = --version ] && exit\n\
        echo \"no package at $PIP_INDEX_URL\" >&2\nexit 1\n";
    folder.write("venv/bin/python", script);
    fs::set_permissions(folder.path("venv/bin/python"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut install = folder.gleaner(&["runtime", "install"]);
    install.env("XDG_CACHE_HOME", folder.path("cache")).env("VIRTUAL_ENV", folder.path("venv"));
    install.env("PIP_INDEX_URL", "https://user:hunter2@index.invalid/simple");
    install.env("CLOUD_TOKEN", "hunter3").env("GLEANER_LOG", "trace");
    let output = install.output().unwrap();
    told(&output, 1, &["no package at https://index.invalid/simple"]);
    let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("hunter"), "{said}");
    let known = fs::read_to_string(folder.path("venv/bin/python.env")).unwrap();
    assert!(known.contains("PIP_INDEX_URL=") && !known.contains("hunter3"), "{known}");
}

#[test]
fn what_lies_in_the_working_directory_is_not_run() {
    let folder = Folder::new();
    for module in ["pip.py", "shutil.py", "zipfile.py", "importlib.py"] {
        folder.write(module, "open('stolen', 'w')");
    }
    assert!(folder.gleaner(&["doctor"]).output().unwrap().status.success());
    assert!(!folder.path("stolen").exists() && !Path::new("/stolen").exists());
}
