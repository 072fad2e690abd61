//! File systems for pins: one with a place, or one that nobody else sees.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    ptr,
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::{EnforcerError, pins::failed};

/// `<linux/mount.h>`
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;

/// A bpffs without a place in the tree of files; gone with all its names when this is dropped.
pub(super) struct Hidden {
    mount: OwnedFd,
}

impl Hidden {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a string that ends.
        let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"bpf".as_ptr(), FSOPEN_CLOEXEC) })?;
        // SAFETY: this command takes neither key nor value.
        let created = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                context.as_raw_fd(),
                FSCONFIG_CMD_CREATE,
                ptr::null::<libc::c_char>(),
                ptr::null::<libc::c_void>(),
                0,
            )
        };
        if created != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: takes numbers only.
        let mount = owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0_u32) })?;
        Ok(Self { mount })
    }

    /// Its root, for this process.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.mount.as_raw_fd()))
    }
}

/// Makes a directory of a bpffs where we may write, and mounts one there unless it is on one.
pub(super) fn prepare(root: &Path) -> Result<(), EnforcerError> {
    fs::create_dir_all(root).map_err(|source| explain(root, "create", source))?;
    let kind = statfs(root)
        .map_err(|errno| failed(root, "look at", errno.into()))?
        .filesystem_type();
    if kind != BPF_FS_MAGIC {
        mount(root).map_err(|source| explain(root, "mount a bpffs at", source))?;
    }
    // A directory of the name that we use anyway: nothing is left of it if we end here.
    let probe = root.join("next");
    if !probe.exists() {
        fs::create_dir(&probe).map_err(|source| explain(root, "write to", source))?;
        fs::remove_dir(&probe).map_err(|source| explain(root, "write to", source))?;
    }
    Ok(())
}

/// Unmounts a bpffs that is mounted at just this place, and removes the directory.
pub(super) fn release(root: &Path) -> Result<(), EnforcerError> {
    unmount(root).map_err(|source| failed(root, "unmount", source))?;
    fs::remove_dir(root).map_err(|source| failed(root, "remove", source))
}

fn explain(root: &Path, action: &'static str, source: io::Error) -> EnforcerError {
    let path = root.to_owned();
    match (action, source.raw_os_error()) {
        (_, Some(libc::ENODEV)) => EnforcerError::NoBpffs { path },
        ("mount a bpffs at", Some(libc::EPERM | libc::EACCES)) => EnforcerError::MayNotMount { path },
        (_, Some(libc::EROFS | libc::EACCES | libc::EPERM)) => EnforcerError::PinsReadOnly { path, source },
        _ => failed(root, action, source),
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

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
