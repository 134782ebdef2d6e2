//! The files of a folder and of those in it, in the order of their names.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// A file, with its path below the folder: `/` between names on every system.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) name: String,
}

/// Deeper folders are a mistake.
const DEPTH_MAX: usize = 32;

/// Every file whose name does not begin with a dot, or what could not be looked at. Links to files are files; links to
/// folders might lead in a circle, and are not followed.
pub(super) fn walk(root: &Path) -> Vec<Result<Entry, (PathBuf, Error)>> {
    let mut found = Vec::new();
    visit(root, "", 0, &mut found);
    found.sort_by(|a, b| match (a, b) {
        (Ok(a), Ok(b)) => a.name.cmp(&b.name),
        (Ok(_), Err(_)) => std::cmp::Ordering::Less,
        (Err(_), Ok(_)) => std::cmp::Ordering::Greater,
        (Err((a, _)), Err((b, _))) => a.cmp(b),
    });
    found
}

fn visit(
    folder: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Vec<Result<Entry, (PathBuf, Error)>>,
) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return found.push(Err((folder.to_path_buf(), error))),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                found.push(Err((folder.to_path_buf(), error)));
                continue;
            }
        };
        let path = entry.path();
        let refuse = |what: &str| Err((path.clone(), Error::new(ErrorKind::InvalidInput, what)));
        let Ok(name) = entry.file_name().into_string() else {
            found.push(refuse("its name is not UTF-8"));
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        match entry.file_type() {
            Err(error) => found.push(Err((path, error))),
            Ok(kind) if kind.is_dir() && depth >= DEPTH_MAX => {
                found.push(refuse("more than 32 folders deep"));
            }
            Ok(kind) if kind.is_dir() => visit(&path, &name, depth + 1, found),
            Ok(kind) if kind.is_symlink() && path.is_dir() => {
                found.push(refuse("a link to a folder, which is not followed"));
            }
            Ok(_) => found.push(Ok(Entry { path, name })),
        }
    }
}
