//! An initramfs: files in the `newc` format of cpio (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::process;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive in the making.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
}

impl Archive {
    /// Adds an empty directory, and those that it is in.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        if path.is_empty() || self.names.contains(path) {
            return Ok(());
        }
        self.parents(path)?;
        self.entry(path, DIRECTORY, &[])
    }

    /// Adds a file that can be executed.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        if self.names.contains(path) {
            return Ok(());
        }
        self.parents(path)?;
        self.entry(path, PROGRAM, content)
    }

    /// Adds a program of this machine under that path, and the shared libraries that it takes under theirs.
    pub(super) fn program(&mut self, path: &str, program: &Path) -> Result<()> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("failed to read {}", path.display()));
        self.file(path, &read(program)?)?;
        for library in libraries(program)? {
            let inside = library.to_string_lossy().trim_start_matches('/').to_owned();
            self.file(&inside, &read(&library)?)?;
        }
        Ok(())
    }

    /// The archive with its end.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn parents(&mut self, path: &str) -> Result<()> {
        match path.rsplit_once('/') {
            Some((parent, _)) => self.directory(parent),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let size = u32::try_from(content.len()).with_context(|| format!("{path} is too large"))?;
        let number = u32::try_from(self.names.len())? + 1;
        // Inode, mode, owner, group, links, time, size, device twice two, length of the name, checksum.
        let name_length = u32::try_from(path.len())? + 1;
        let fields = [number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_length, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
        ensure!(self.names.insert(path.to_owned()), "{path} is there twice");
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The shared libraries of a program, the one that loads the others among them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = process::output(Command::new("ldd").arg(program))?;
    Ok(listed
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_before_what_is_in_them() {
        let mut archive = Archive::default();
        archive.file("a/b/c", b"12345").unwrap();
        archive.directory("a").unwrap();
        archive.file("a/b/c", b"again").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what}"));
        assert!(at("a\0") < at("a/b\0"));
        assert!(at("a/b\0") < at("a/b/c\0") && at("a/b/c\0") < at("12345") && at("12345") < at("TRAILER!!!\0"));
        assert!(!text.contains("again"));
        assert_eq!(text.matches("070701").count(), 4);
    }
}
