//! A file that is there as a whole or not at all, wherever a file can be so.

use crate::artifacts::sync_directory;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A file in the making. It stands beside the one that it becomes, under another name; dropped before
/// [`WholeFile::finish`], it leaves nothing. What is there and is no file, a device or a pipe, is not replaced but written to.
pub(super) struct WholeFile(BufWriter<Made>);

enum Made {
    /// It becomes what has that name.
    Beside(NamedTempFile, PathBuf),
    There(File),
}

impl WholeFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        // A link stays one: what it leads to is written.
        let led = fs::canonicalize(path);
        let path = led.as_deref().unwrap_or(path);
        if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
            return Ok(Self(BufWriter::new(Made::There(File::create(path)?))));
        }
        let mut fresh = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // What the user's mask leaves of it, as for any file that a program makes.
            fresh.permissions(fs::Permissions::from_mode(0o666));
        }
        let fresh = fresh.tempfile_in(folder(path))?;
        Ok(Self(BufWriter::new(Made::Beside(fresh, path.to_owned()))))
    }

    /// The file itself, for who goes back and forth in it before anything is written through this; `None` where it is none.
    pub(super) fn file(&mut self) -> Option<&mut NamedTempFile> {
        match self.0.get_mut() {
            Made::Beside(file, _) => Some(file),
            Made::There(_) => None,
        }
    }

    /// Gives the file its name, in place of one that has it; whoever looks finds all of the one or of the other, after a power
    /// cut, too.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.0.into_inner().map_err(io::IntoInnerError::into_error)? {
            Made::Beside(file, path) => {
                file.as_file().sync_all()?;
                file.persist(&path).map_err(|error| error.error)?;
                sync_directory(folder(&path))
            }
            Made::There(_) => Ok(()), // there is nothing to sync in a device
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for Made {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Beside(file, _) => file.write(bytes),
            Self::There(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Beside(file, _) => file.flush(),
            Self::There(file) => file.flush(),
        }
    }
}
