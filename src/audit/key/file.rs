//! Where a private key lies: a file of one line that only its owner may read, written once and never again.
//!
//! On Unix, its mode is 0600, and a file that others may read is refused. Elsewhere the folder's rights are all there is.

use super::{KeyError, SignerKey};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest file that is taken for a key, in bytes.
const FILE_MAX: usize = 1024;

/// Why a key was not written, or not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Something is there already.
    #[error("{} is there already and is kept as it is, because a lost key signs nothing: choose another file", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Others may read or change it.
    #[error(
        "{} may be used by others (its mode is {mode:04o}): make a new key if any of them is not trusted, otherwise `chmod 600` it",
        path.display()
    )]
    Shared {
        /// Which file.
        path: PathBuf,
        /// Its rights.
        mode: u32,
    },
    /// A folder, a pipe, or far too long.
    #[error("{} is not a file of at most {FILE_MAX} bytes, which a key is: was another one meant?", path.display())]
    NotAFile {
        /// Which file.
        path: PathBuf,
    },
    /// The file holds no key.
    #[error("{} holds no private key", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The disk refused.
    #[error("could not {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes `key` to a new file at `path`. Once this returns, a power cut does not take it away.
///
/// # Errors
/// [`KeyFileError::Exists`] if anything is there, [`KeyFileError::Io`] if it cannot be written; then no file is left.
pub fn create(path: &Path, key: &SignerKey) -> Result<(), KeyFileError> {
    let io = |operation, source| KeyFileError::Io { operation, path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(|source| {
        if source.kind() == ErrorKind::AlreadyExists {
            return KeyFileError::Exists { path: path.to_owned() };
        }
        io("create", source)
    })?;
    write(&file, path, key).map_err(|source| {
        drop(fs::remove_file(path)); // half a key; that it stays is said by the next attempt
        io("write", source)
    })
}

fn write(mut file: &File, path: &Path, key: &SignerKey) -> io::Result<()> {
    let mut line = key.to_private_text();
    line.push('\n');
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Reads the key in the file at `path`.
///
/// # Errors
/// [`KeyFileError::Shared`] if others than its owner may read or write it, [`KeyFileError::NotAFile`] for a folder, a pipe or
/// a long file, [`KeyFileError::Key`] if no key is in it, [`KeyFileError::Io`] if it cannot be read.
pub fn read(path: &Path) -> Result<SignerKey, KeyFileError> {
    let io = |operation, source| KeyFileError::Io { operation, path: path.to_owned(), source };
    let not_a_file = || KeyFileError::NotAFile { path: path.to_owned() };
    // Opening a pipe would wait for somebody to write to it.
    if !fs::metadata(path).map_err(|source| io("find", source))?.is_file() {
        return Err(not_a_file());
    }
    let file = File::open(path).map_err(|source| io("open", source))?;
    #[cfg(unix)]
    {
        // Of the opened file: the name may mean another one by now.
        let metadata = file.metadata().map_err(|source| io("look at", source))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Shared { path: path.to_owned(), mode });
        }
    }
    // As long as it can get, so that no half-filled copy is left behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * FILE_MAX));
    file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|source| io("read", source))?;
    if bytes.len() > FILE_MAX {
        return Err(not_a_file());
    }
    let text = str::from_utf8(&bytes).map_err(|_| KeyError::NotPrivate);
    text.and_then(|text| SignerKey::from_private_text(text.trim_end()))
        .map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SignerKey {
        SignerKey::generate("example.org/runs".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_key_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.key");
        let written = key();
        create(&path, &written).unwrap();
        let read = read(&path).unwrap();
        assert_eq!(read.verifier(), written.verifier());
        assert_eq!(read.sign(b"text"), written.sign(b"text"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("PRIVATE+KEY+example.org/runs+") && text.ends_with('\n'));
    }

    #[test]
    fn what_is_there_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.key");
        fs::write(&path, "the only copy").unwrap();
        for path in [path.as_path(), folder.path()] {
            let refused = create(path, &key()).unwrap_err();
            assert!(matches!(refused, KeyFileError::Exists { .. }), "{refused}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "the only copy");
        let refused = create(&folder.path().join("none/runs.key"), &key()).unwrap_err();
        assert!(matches!(refused, KeyFileError::Io { operation: "create", .. }), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_use_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.key");
        create(&path, &key()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read(&path).unwrap_err().to_string();
            assert!(refused.contains(&format!("(its mode is {mode:04o})")), "{refused}");
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(matches!(create(&link, &key()), Err(KeyFileError::Exists { .. })));
        assert!(!target.exists());
    }

    #[test]
    fn other_files_are_refused_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.key");
        let private = key().to_private_text();
        let cut = &private[..private.len() - 1];
        let twice = format!("{}\n{}\n", *private, *private);
        let public = key().verifier().to_string();
        let long = format!("{}{}", *private, "\n".repeat(FILE_MAX));
        for (text, expected) in [
            ("", "NotPrivate"),
            ("hello", "NotPrivate"),
            (cut, "NotPrivate"),
            (&twice, "NotPrivate"),
            (&public, "NotPrivate"),
            ("\u{feff}", "NotPrivate"),
            (&long, "NotAFile"),
        ] {
            drop(fs::remove_file(&path));
            fs::write(&path, text).unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            }
            let refused = format!("{:?}", read(&path).unwrap_err());
            assert!(refused.contains(expected), "{refused}");
            assert!(!refused.contains(&private[private.len() - 20..private.len() - 1]));
        }
        assert!(matches!(read(folder.path()), Err(KeyFileError::NotAFile { .. })));
        let missing = read(&folder.path().join("none")).unwrap_err();
        assert!(matches!(missing, KeyFileError::Io { operation: "find", .. }), "{missing}");
    }
}
