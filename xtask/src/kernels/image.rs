//! Kernels as Debian packages them, and a static busybox: downloaded by apt into the cache, never installed.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{paths, process, setup};

/// Modules that the suites need, each after those that it depends on.
const MODULES: [&str; 1] = ["veth"];

/// A kernel in the cache.
pub(super) struct Image {
    /// As `uname -r` says.
    pub(super) release: String,
    pub(super) kernel: PathBuf,
    /// Name and content.
    pub(super) modules: Vec<(String, Vec<u8>)>,
}

/// The kernel of that version (`6.1`): the one in the cache, or the newest that apt knows.
pub(super) fn find_or_download(version: &str) -> Result<Image> {
    let well_formed = version.split('.').all(|part| part.parse::<u32>().is_ok()) && version.split('.').count() == 2;
    if !well_formed {
        bail!(
            "`{version}` is no version of a kernel\nhint: --kernels {}",
            super::DEFAULT
        );
    }
    let root = cache().join(version);
    if !root.exists() {
        setup::unpack(&[newest(version)?], &root)?;
    }
    open(&root).with_context(|| format!("the kernel in {} is not complete: remove it", root.display()))
}

/// A busybox without shared libraries.
pub(super) fn busybox() -> Result<PathBuf> {
    let root = cache().join("busybox");
    if !root.exists() {
        setup::unpack(&["busybox-static".to_owned()], &root)?;
    }
    let busybox = ["bin/busybox", "usr/bin/busybox"].map(|path| root.join(path));
    busybox
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| format!("no busybox in {}", root.display()))
}

fn cache() -> PathBuf {
    paths::toolchain().join("kernels")
}

/// The package of the newest kernel of that version.
fn newest(version: &str) -> Result<String> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => bail!("virtual machines are only known for x86_64, not for {other}"),
    };
    let pattern = format!(
        "^linux-image-{}[.][0-9].*-cloud-{architecture}$",
        version.replace('.', "[.]")
    );
    let known = || process::output(Command::new("apt-cache").args(["search", "--names-only", &pattern]));
    if let Some(package) = latest(&known()?) {
        return Ok(package);
    }
    setup::update()?;
    latest(&known()?).with_context(|| format!("apt knows no kernel {version}\nhint: --kernels with another version"))
}

fn latest(listed: &str) -> Option<String> {
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    names.max_by_key(|name| numbers(name)).map(str::to_owned)
}

/// The numbers in a name, by which releases compare.
fn numbers(name: &str) -> Vec<u64> {
    let numbers = name.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

fn open(root: &Path) -> Result<Image> {
    let modules = ["lib/modules", "usr/lib/modules"].map(|path| root.join(path));
    let modules = modules.iter().find(|path| path.is_dir()).context("no modules")?;
    let release = fs::read_dir(modules)?.next().context("no release")??.file_name();
    let release = release.to_string_lossy().into_owned();
    let kernel = root.join("boot").join(format!("vmlinuz-{release}"));
    kernel.metadata().context("no kernel")?;
    let found = MODULES.map(|name| {
        let content = module(&modules.join(&release), name).with_context(|| format!("no module {name}"))?;
        Ok((format!("{name}.ko"), content))
    });
    Ok(Image {
        release,
        kernel,
        modules: found.into_iter().collect::<Result<_>>()?,
    })
}

/// The content of the module of that name, somewhere below that folder.
fn module(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            let file = path.file_name().map(|file| file.to_string_lossy().into_owned());
            match file.as_deref().and_then(|file| file.strip_prefix(name)) {
                Some(".ko") => return Ok(fs::read(&path)?),
                Some(".ko.xz") => return decompressed(&path),
                Some(_) | None if kind.is_dir() => folders.push(path),
                Some(_) | None => {}
            }
        }
    }
    bail!("none in {}", folder.display())
}

fn decompressed(path: &Path) -> Result<Vec<u8>> {
    let mut xz = Command::new("xz");
    xz.arg("-dc").arg(path).stdout(std::process::Stdio::piped());
    let mut child = xz.spawn().context("failed to start xz")?;
    let mut content = Vec::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_end(&mut content)?;
    }
    if !child.wait()?.success() {
        bail!("failed to decompress {}", path.display());
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        let listed = "linux-image-6.1.0-9-cloud-amd64 - Linux\nlinux-image-6.1.0-56-cloud-amd64 - Linux (signed)\n";
        assert_eq!(latest(listed).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(latest(""), None);
    }
}
