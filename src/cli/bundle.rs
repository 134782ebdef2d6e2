//! `gleaner bundle`, and `gleaner verify` of one: a run in one file.

use super::Cli;
use super::checkpoint::{refused, sign, unbelieved};
use super::error::CliError;
use super::output::{Output, Style};
use super::verify::{Copied, NOT_SOUND, copy, find, show};
use super::whole_file::WholeFile;
use crate::audit::bundle::{self, BundleError, BundleVerification, Contents};
use crate::audit::key::{VerifierKey, file};
use crate::audit::tree;
use crate::audit::verify::Verification;
use crate::store::excerpt::Excerpt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is to be in a bundle.
pub(super) struct Wanted<'a> {
    /// The run; the newest if none is named.
    pub(super) run: Option<&'a str>,
    /// Where the private key is.
    pub(super) key: Option<&'a Path>,
    /// Checkpoints from before.
    pub(super) earlier: &'a [PathBuf],
    /// Larger artifacts stay out.
    pub(super) largest: u64,
}

pub(super) async fn bundle(
    cli: &Cli,
    output: &Output,
    file: &Path,
    wanted: &Wanted<'_>,
) -> Result<ExitCode, CliError> {
    let key = wanted.key.map(file::read).transpose().map_err(refused)?;
    let earlier = wanted.earlier.iter().map(|file| unbelieved(file)).collect::<Result<_, _>>()?;
    if wanted.key.is_some_and(|key| key == file) {
        let why = format!("{} is the private key: write the bundle elsewhere", file.display());
        return Err(CliError::Refused(why));
    }
    let Copied { store, .. } = &copy(cli)?;
    let run = find(store, wanted.run).await?;
    let records = tree::records(store).await?;
    let log = store.excerpt(run).await?;
    let hashes = Excerpt::read(run, &log.bytes, store.artifacts()).hashes();
    let end = hashes.map(|hashes| bundle::end(run, &hashes));
    let contents = Contents {
        run,
        log,
        records: &records,
        artifacts: store.artifacts(),
        largest: wanted.largest,
        checkpoint: key.as_ref().map(|key| sign(cli, &records, key, end)).transpose()?,
        earlier,
    };
    let cannot = |error: BundleError| {
        CliError::Refused(format!("cannot write the bundle {}: {error}", file.display()))
    };
    let mut whole = WholeFile::create(file).map_err(|error| cannot(error.into()))?;
    let made = whole.file().ok_or_else(|| {
        cannot(io::Error::other("it is no file, and a bundle is read again: name one").into())
    })?;
    bundle::write(contents, made.as_file_mut()).await.map_err(cannot)?;
    // What is handed out was verified as whoever gets it will.
    let verifier = key.as_ref().map(|key| key.verifier().clone());
    let found = bundle::verify(made.path(), verifier.as_ref()).await.map_err(cannot)?;
    if !found.is_sound() {
        if output.json {
            output.json(&found)?
        } else {
            tell(output, &found)?
        }
        output.note(&format!("{} was not written", file.display()));
        return Ok(NOT_SOUND.into());
    }
    whole.finish().map_err(|error| cannot(error.into()))?;
    if output.json {
        output.json(&found)?;
    } else {
        let (events, artifacts) = (found.verification.events, found.verification.artifacts);
        let left_out = match found.left_out {
            0 => String::new(),
            some => format!("; {some} larger artifacts by their digests alone"),
        };
        let (file, size) = (file.display(), found.size);
        output.line(&format!(
            "{file}: run {run}, {events} events of {size} in the store, {artifacts} artifacts{left_out}"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Verifies a bundle.
pub(super) async fn verify(
    output: &Output,
    file: &Path,
    key: Option<&str>,
) -> Result<ExitCode, CliError> {
    let key: Option<VerifierKey> = key.map(str::parse).transpose().map_err(refused)?;
    let found = match bundle::verify(file, key.as_ref()).await {
        Ok(found) => found,
        Err(BundleError::Malformed { what }) => {
            let why = format!("{}: it is no bundle that can be read: {what}", file.display());
            if output.json {
                output.json(&Verification::not_opened(why))?;
            } else {
                output.line(&output.style(Style::Red, &format!("not whole: {why}")))?;
            }
            return Ok(NOT_SOUND.into());
        }
        Err(error) => {
            return Err(CliError::Refused(format!("cannot verify {}: {error}", file.display())));
        }
    };
    if output.json {
        output.json(&found)?
    } else {
        tell(output, &found)?
    }
    Ok(if found.is_sound() { ExitCode::SUCCESS } else { NOT_SOUND.into() })
}

fn tell(output: &Output, found: &BundleVerification) -> Result<(), CliError> {
    show(output, &found.verification)?;
    for finding in &found.findings {
        output.line(&output.style(Style::Red, finding))?;
    }
    let (size, root) = (found.size, found.root);
    output.line(&format!("the store had {size} events, root {root}"))?;
    match &found.signed_by {
        Some(name) => output.line(&format!("signed by {name}"))?,
        None => output.line("whoever signed that was not checked: --key names the public key")?,
    }
    if !found.is_whole {
        output.line("nothing that was signed and checked says where the run ended: its log may have gone on")?;
    }
    if found.earlier > 0 {
        output.line(&format!("{} earlier checkpoints are continued", found.earlier))?;
    }
    if found.left_out > 0 {
        let text =
            format!("{} artifacts are not in it: known by their digests alone", found.left_out);
        output.line(&text)?;
    }
    Ok(())
}
