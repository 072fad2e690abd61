//! What outlives the process: maps and links, as files of a bpffs.
//!
//! Below the directory are `maps-L-G`, the maps of layout L in generation G with the program that uses them, and
//! `link-I`, the link of interface I. A generation is made as `next` and gets its name in one step once it is whole;
//! then the links are swapped to its program, and only then the earlier one goes. So whenever the process ends,
//! the generation whose program a link runs is whole, and it is the one that the next process takes over.

use std::{
    collections::HashSet,
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use portcullis_common::{ABI_VERSION, Geometry, Settings, maps};

use super::{
    EnforcerError, bpffs, links,
    table::{Source, Table},
};

/// What another process may take over: all but what the program needs for itself.
pub(super) const MAPS: [&str; 12] = [
    maps::FILTER,
    maps::HOSTS_V4,
    maps::HOSTS_V6,
    maps::KEYS_V6,
    maps::OVERFLOW,
    maps::PREFIXES,
    maps::FLOWS,
    maps::NEVER_BAN,
    maps::COUNTERS,
    maps::HITS,
    maps::SCRATCH,
    maps::SETTINGS,
];

/// The program of a generation.
const PROGRAM: &str = "PROGRAM";
const NEXT: &str = "next";

/// The directory, locked against other processes as long as this lives.
pub(super) struct Pins {
    root: PathBuf,
    _lock: OwnedFd,
}

/// What an earlier process left.
pub(super) struct Earlier {
    /// The directory of the maps.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) layout: Layout,
}

/// The layout of maps that were found.
pub(super) enum Layout {
    /// Ours, in this size.
    Current(Geometry),
    /// That of another version of the daemon.
    Other(u32),
}

/// A directory of maps.
struct Generation {
    path: PathBuf,
    layout: u32,
    number: u64,
}

impl Pins {
    /// Opens the directory, and mounts a bpffs there unless it is on one.
    pub(super) fn open(root: &Path) -> Result<Self, EnforcerError> {
        bpffs::prepare(root)?;
        let directory = fs::File::open(root).map_err(|source| failed(root, "open", source))?;
        lock(&directory, root)?;
        Ok(Self {
            root: root.to_owned(),
            _lock: directory.into(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The link of an interface.
    pub(super) fn link(&self, index: u32) -> PathBuf {
        self.root.join(format!("link-{index}"))
    }

    /// What an earlier process left: the maps of the program that a link runs, or else the newest.
    pub(super) fn find(&self) -> Result<Option<Earlier>, EnforcerError> {
        let running = self.running_programs()?;
        let is_running = |generation: &Generation| {
            let program = links::open(&generation.path.join(PROGRAM));
            let id = program.and_then(|program| links::program_id(program.as_fd()));
            id.is_ok_and(|id| running.contains(&id))
        };
        let mut generations = self.generations()?;
        generations.sort_by_cached_key(|generation| {
            let is_ours = generation.layout == ABI_VERSION;
            (is_running(generation), is_ours, generation.number)
        });
        let found = generations.into_iter().rev().find_map(|generation| {
            let layout = layout_of(&generation)?;
            Some(Earlier {
                path: generation.path,
                layout,
            })
        });
        Ok(found)
    }

    /// An empty directory for the next generation.
    pub(super) fn start_next(&self) -> Result<PathBuf, EnforcerError> {
        let path = self.root.join(NEXT);
        remove_directory(&path)?;
        fs::create_dir(&path).map_err(|source| failed(&path, "create", source))?;
        Ok(path)
    }

    /// Gives the next generation its name, now that it is whole. Returns its directory.
    pub(super) fn finish_next(&self, program: BorrowedFd<'_>) -> Result<PathBuf, EnforcerError> {
        let next = self.root.join(NEXT);
        for path in children(&next)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !MAPS.contains(&name.as_str()) {
                remove_file(&path)?;
            }
        }
        let pin = next.join(PROGRAM);
        links::pin(program, &pin).map_err(|source| failed(&pin, "pin", source))?;
        let last = self.generations()?.iter().map(|generation| generation.number).max();
        let number = last.map_or(0, |last| last.saturating_add(1));
        let path = self.root.join(format!("maps-{ABI_VERSION}-{number}"));
        fs::rename(&next, &path).map_err(|source| failed(&next, "rename", source))?;
        Ok(path)
    }

    /// Removes the links of all interfaces but these, and all maps but those in `maps`.
    pub(super) fn tidy(&self, interfaces: &[u32], maps: Option<&Path>) -> Result<(), EnforcerError> {
        let keep: Vec<PathBuf> = interfaces.iter().map(|index| self.link(*index)).collect();
        // The links first: they must never run a program whose maps nobody finds again.
        for path in self.named("link-")? {
            if !keep.contains(&path) {
                remove_file(&path)?;
            }
        }
        match maps {
            Some(maps) => self.keep_only(maps)?,
            None => self.keep_only(Path::new(""))?,
        }
        remove_directory(&self.root.join(NEXT))
    }

    /// Removes all maps but those in `maps`, and leaves the links alone.
    pub(super) fn keep_only(&self, maps: &Path) -> Result<(), EnforcerError> {
        for path in self.named("maps-")? {
            if path != maps {
                remove_directory(&path)?;
            }
        }
        Ok(())
    }

    /// Gives up what was begun.
    pub(super) fn drop_next(&self) {
        if let Err(error) = remove_directory(&self.root.join(NEXT)) {
            tracing::warn!(%error, "unfinished tables stay until the next start");
        }
    }

    /// Detaches the program everywhere and forgets every ban.
    pub(super) fn remove(self) -> Result<(), EnforcerError> {
        for link in self.named("link-")?.iter().filter_map(|path| links::open(path).ok()) {
            // One of an interface that is gone is detached already.
            let _ = links::detach(link.as_fd());
        }
        self.tidy(&[], None)?;
        let root = self.root.clone();
        drop(self);
        bpffs::release(&root)
    }

    /// The ids of the programs that pinned links run.
    fn running_programs(&self) -> Result<HashSet<u32>, EnforcerError> {
        let links = self.named("link-")?;
        let info = |path: &PathBuf| links::info(links::open(path).ok()?.as_fd()).ok().flatten();
        Ok(links
            .iter()
            .filter_map(info)
            .filter(|link| link.interface != 0)
            .map(|link| link.program)
            .collect())
    }

    fn generations(&self) -> Result<Vec<Generation>, EnforcerError> {
        Ok(self.named("maps-")?.into_iter().filter_map(Generation::of).collect())
    }

    fn named(&self, start: &str) -> Result<Vec<PathBuf>, EnforcerError> {
        let is_named = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(start))
        };
        Ok(children(&self.root)?.into_iter().filter(is_named).collect())
    }
}

/// Takes the lock. The helper of a daemon that was killed holds it for a moment longer.
fn lock(directory: &fs::File, root: &Path) -> Result<(), EnforcerError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // SAFETY: the descriptor is open, and flock takes no memory of ours.
        if unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        if source.raw_os_error() != Some(libc::EWOULDBLOCK) {
            return Err(failed(root, "lock", source));
        }
        if Instant::now() >= deadline {
            return Err(EnforcerError::PinsInUse { path: root.to_owned() });
        }
        thread::sleep(LOOK);
    }
}

/// How long a process that has just ended may keep the lock.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

impl Generation {
    /// `maps-L-G`, or `maps-L` before there were generations.
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_prefix("maps-")?;
        let (layout, number) = name.split_once('-').unwrap_or((name, "0"));
        let (layout, number) = (layout.parse().ok()?, number.parse().ok()?);
        Some(Self { path, layout, number })
    }
}

/// The layout that the maps themselves claim. `None` if some are missing, or the name of the directory says otherwise.
fn layout_of(generation: &Generation) -> Option<Layout> {
    let path = &generation.path;
    let claimed = Table::<u32, Settings>::first_word(&path.join(maps::SETTINGS)).ok()?;
    if claimed != generation.layout {
        return None;
    }
    if claimed != ABI_VERSION {
        return Some(Layout::Other(claimed));
    }
    if !MAPS.iter().all(|name| path.join(name).exists()) {
        return None;
    }
    let table = Table::<u32, Settings>::open(&Source::Pins(path), maps::SETTINGS).ok()?;
    Some(Layout::Current(table.get(&0).ok()??.geometry))
}

/// Gives maps of one directory a second name in another.
pub(super) fn share(names: &[&str], from: &Path, to: &Path) -> Result<(), EnforcerError> {
    for name in names {
        let map = links::open(&from.join(name)).map_err(|source| failed(&from.join(name), "open", source))?;
        links::pin(map.as_fd(), &to.join(name)).map_err(|source| failed(&to.join(name), "pin", source))?;
    }
    Ok(())
}

fn children(path: &Path) -> Result<Vec<PathBuf>, EnforcerError> {
    let entries = fs::read_dir(path).map_err(|source| failed(path, "read", source))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

pub(super) fn remove_file(path: &Path) -> Result<(), EnforcerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, "remove", error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn remove_directory(path: &Path) -> Result<(), EnforcerError> {
    if !path.exists() {
        return Ok(());
    }
    for file in children(path)? {
        remove_file(&file)?;
    }
    fs::remove_dir(path).map_err(|source| failed(path, "remove", source))
}

pub(super) fn failed(path: &Path, action: &'static str, source: io::Error) -> EnforcerError {
    EnforcerError::Pins {
        path: path.to_owned(),
        action,
        source,
    }
}
