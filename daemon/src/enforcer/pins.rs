//! What outlives the process: maps and links, as files of a bpffs.
//!
//! Below the directory are `maps-N`, the maps of layout N, and `link-I`, the link of interface I.
//! Another layout has another directory, so that no version reads what it does not understand.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    ptr,
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use portcullis_common::{ABI_VERSION, Geometry, Settings, maps};

use super::{AttachOptions, EnforcerError, geometry, table::Source, table::Table};

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

/// The directory, locked against other processes as long as this lives.
pub(super) struct Pins {
    root: PathBuf,
    _lock: OwnedFd,
}

/// What was found of an earlier process.
pub(super) enum Found {
    /// Nothing that can be used.
    Nothing,
    /// Tables of the size and the layout that are wanted.
    Same(Geometry),
    /// Tables of this layout in another size.
    Resized(Geometry),
}

impl Pins {
    /// Opens the directory, and mounts a bpffs there unless it is on one.
    pub(super) fn open(root: &Path) -> Result<Self, EnforcerError> {
        let failed = |action, source| failed(root, action, source);
        fs::create_dir_all(root).map_err(|source| failed("create", source))?;
        let kind = statfs(root)
            .map_err(|errno| failed("look at", errno.into()))?
            .filesystem_type();
        if kind != BPF_FS_MAGIC {
            mount(root).map_err(|source| failed("mount a bpffs at", source))?;
        }
        let directory = fs::File::open(root).map_err(|source| failed("open", source))?;
        // SAFETY: the descriptor is open, and flock takes no memory of ours.
        if unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let source = io::Error::last_os_error();
            return Err(match source.raw_os_error() {
                Some(libc::EWOULDBLOCK) => EnforcerError::PinsInUse { path: root.to_owned() },
                _ => failed("lock", source),
            });
        }
        Ok(Self {
            root: root.to_owned(),
            _lock: directory.into(),
        })
    }

    /// The maps of this layout.
    pub(super) fn maps(&self) -> PathBuf {
        self.root.join(format!("maps-{ABI_VERSION}"))
    }

    /// Where the tables of another size are made.
    pub(super) fn next_maps(&self) -> PathBuf {
        self.root.join(format!("maps-{ABI_VERSION}-next"))
    }

    /// The link of an interface.
    pub(super) fn link(&self, index: u32) -> PathBuf {
        self.root.join(format!("link-{index}"))
    }

    /// Looks at what an earlier process left.
    pub(super) fn find(&self, options: &AttachOptions) -> Result<Found, EnforcerError> {
        let path = self.maps();
        self.remove_maps(&self.next_maps())?;
        let Some(settings) = earlier_settings(&path) else {
            self.remove_maps(&path)?;
            return Ok(Found::Nothing);
        };
        let found = settings.geometry;
        let wanted = Geometry {
            seed: found.seed,
            ..geometry::of(&options.capacities)
        };
        Ok(if found == wanted && same_capacities(&path, options) {
            Found::Same(found)
        } else {
            Found::Resized(found)
        })
    }

    pub(super) fn create(&self, path: &Path) -> Result<(), EnforcerError> {
        fs::create_dir_all(path).map_err(|source| failed(path, "create", source))
    }

    /// Puts the tables of another size in the place of the earlier ones, which the program no
    /// longer uses.
    pub(super) fn promote_next(&self) -> Result<(), EnforcerError> {
        self.remove_maps(&self.maps())?;
        fs::rename(self.next_maps(), self.maps()).map_err(|source| failed(&self.next_maps(), "rename", source))
    }

    /// Removes what belongs to no interface in use, and the maps of other layouts.
    pub(super) fn tidy(&self, interfaces: &[u32]) -> Result<(), EnforcerError> {
        let keep: Vec<PathBuf> = interfaces.iter().map(|index| self.link(*index)).collect();
        for path in children(&self.root)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("link-") && !keep.contains(&path) {
                remove_file(&path)?;
            } else if name.starts_with("maps-") && path != self.maps() {
                self.remove_maps(&path)?;
            }
        }
        Ok(())
    }

    /// Detaches the program everywhere and forgets every ban.
    pub(super) fn remove(self) -> Result<(), EnforcerError> {
        self.tidy(&[])?;
        self.remove_maps(&self.maps())?;
        let root = self.root.clone();
        drop(self);
        unmount(&root).map_err(|source| failed(&root, "unmount", source))?;
        fs::remove_dir(&root).map_err(|source| failed(&root, "remove", source))
    }

    fn remove_maps(&self, path: &Path) -> Result<(), EnforcerError> {
        if !path.exists() {
            return Ok(());
        }
        for map in children(path)? {
            remove_file(&map)?;
        }
        fs::remove_dir(path).map_err(|source| failed(path, "remove", source))
    }
}

/// The settings among earlier maps, if every map is there and they are of this layout.
fn earlier_settings(path: &Path) -> Option<Settings> {
    if !MAPS.iter().all(|name| path.join(name).exists()) {
        return None;
    }
    let table = Table::<u32, Settings>::open(&Source::Pins(path), maps::SETTINGS).ok()?;
    let settings = table.get(&0).ok()??;
    (settings.abi_version == ABI_VERSION).then_some(settings)
}

fn same_capacities(path: &Path, options: &AttachOptions) -> bool {
    let is = |name, wanted: u32| {
        let info = aya::maps::MapData::from_pin(path.join(name)).and_then(|map| map.info());
        info.is_ok_and(|info| info.max_entries() == wanted)
    };
    let capacities = options.capacities;
    is(maps::OVERFLOW, geometry::overflow_capacity(capacities.hosts))
        && is(maps::PREFIXES, capacities.prefixes.max(1))
        && is(maps::FLOWS, capacities.flows.max(1))
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

pub(super) fn failed(path: &Path, action: &'static str, source: io::Error) -> EnforcerError {
    EnforcerError::Pins {
        path: path.to_owned(),
        action,
        source,
    }
}

fn mount(root: &Path) -> io::Result<()> {
    let target = CString::new(root.as_os_str().as_bytes())?;
    // SAFETY: three strings that end, and no data: the kernel reads nothing else.
    let result = unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            target.as_ptr(),
            c"bpf".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            ptr::null(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Unmounts a bpffs that is mounted at just this place.
fn unmount(root: &Path) -> io::Result<()> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    let parent = root.parent().unwrap_or(root);
    if device(root)? == device(parent)? {
        return Ok(());
    }
    let target = CString::new(root.as_os_str().as_bytes())?;
    // SAFETY: a string that ends.
    match unsafe { libc::umount2(target.as_ptr(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
