//! A file that is there as a whole or not at all.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A file in the making. It stands beside the one that it becomes, under another name; dropped before
/// [`WholeFile::finish`], it leaves nothing.
pub(super) struct WholeFile {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl WholeFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let mut fresh = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // What the user's mask leaves of it, as for any file that a program makes.
            fresh.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = BufWriter::new(fresh.tempfile_in(folder)?);
        Ok(Self { path: path.to_owned(), file })
    }

    /// Gives the file its name, in place of one that has it; whoever looks finds all of the one or of the other.
    pub(super) fn finish(self) -> io::Result<()> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map(drop).map_err(|error| error.error)
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
