//! Making the socket: only its group may connect, and a socket that somebody serves is never taken away.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use tokio::net::UnixListener;

use crate::config::Control;

const DIRECTORY_MODE: u32 = 0o750;
const SOCKET_MODE: u32 = 0o660;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process answers there.
    #[error("{} is served by another process; is portcullis running already?", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket is in the way. It is left alone.
    #[error("{} is there already and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// It was handed over, and more may connect than the configuration says.
    #[error(
        "the socket {} that was handed over is open to others (mode {mode:o}, group {group})\n\
         hint: SocketMode=0660 and SocketGroup=portcullis (control.group) in its .socket unit",
        path.display()
    )]
    Open {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The number of its group.
        group: u32,
    },
    /// The system refused.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens where the configuration says, for its group alone. The directory is made if it is missing; a socket that
/// nobody serves any more is replaced. Belongs to the runtime that it is called in.
///
/// # Errors
/// [`SocketError`].
pub fn bind(settings: &Control) -> Result<UnixListener, SocketError> {
    listen(&settings.socket, Some(&settings.group))
}

/// Takes a socket that was handed over, if nobody may connect but its group, and that is the one that the configuration
/// names, or root's. Belongs to the runtime that it is called in.
///
/// # Errors
/// [`SocketError`].
pub fn adopt(listener: std::os::unix::net::UnixListener, settings: &Control) -> Result<UnixListener, SocketError> {
    check(&settings.socket, group_id(&settings.group))?;
    UnixListener::from_std(listener).map_err(failed("use the socket", &settings.socket))
}

fn check(path: &Path, gid: Option<u32>) -> Result<(), SocketError> {
    /// May connect.
    const GROUP: u32 = 0o020;
    const OTHERS: u32 = 0o007;
    let metadata = fs::metadata(path).map_err(failed("look at", path))?;
    let (mode, group) = (metadata.mode() & 0o777, metadata.gid());
    let is_ours = group == 0 || gid == Some(group);
    if mode & OTHERS != 0 || (mode & GROUP != 0 && !is_ours) {
        let path = path.to_owned();
        return Err(SocketError::Open { path, mode, group });
    }
    Ok(())
}

/// [`bind`], with or without a group.
pub(super) fn listen(path: &Path, group: Option<&str>) -> Result<UnixListener, SocketError> {
    let gid = group.and_then(group_id);
    make_directory(path, gid)?;
    refuse_if_taken(path)?;
    // Made aside and moved into place, so that nobody meets it before its permissions are set.
    let aside = path.with_file_name(format!(".{}", std::process::id()));
    let listener = bind_aside(&aside, gid).inspect_err(|_| drop(fs::remove_file(&aside)))?;
    fs::rename(&aside, path).map_err(failed("place the socket at", path))?;
    Ok(listener)
}

fn bind_aside(path: &Path, gid: Option<u32>) -> Result<UnixListener, SocketError> {
    let listener = UnixListener::bind(path).map_err(failed("make the socket", path))?;
    give(path, gid)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(failed("set the mode of", path))?;
    Ok(listener)
}

fn make_directory(socket: &Path, gid: Option<u32>) -> Result<(), SocketError> {
    let Some(directory) = socket
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty() && !directory.exists())
    else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(failed("make the directory", directory))?;
    give(directory, gid)
}

/// What is the group's already is left alone: a service without privileges may not give anything away.
fn give(path: &Path, gid: Option<u32>) -> Result<(), SocketError> {
    let owned = fs::metadata(path).map_err(failed("look at", path))?.gid();
    match gid.filter(|gid| *gid != owned) {
        Some(gid) => chown(path, None, Some(gid)).map_err(failed("give the group to", path)),
        None => Ok(()),
    }
}

fn refuse_if_taken(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(failed("find out who serves", path)(error)),
    }
}

/// A group that does not exist is no reason not to start: the socket then belongs to whoever starts the daemon.
fn group_id(name: &str) -> Option<u32> {
    match Group::from_name(name) {
        Ok(Some(group)) => Some(group.gid.as_raw()),
        Ok(None) => {
            tracing::warn!(
                group = name,
                "the group of the control socket does not exist; only this user may connect"
            );
            None
        }
        Err(error) => {
            tracing::warn!(group = name, %error, "the group of the control socket cannot be looked up");
            None
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn directory_and_socket_are_for_the_group_only() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/control.sock");
        let _listener = listen(&path, None).unwrap();
        assert_eq!(
            (mode(&path), mode(path.parent().unwrap())),
            (SOCKET_MODE, DIRECTORY_MODE)
        );
        UnixStream::connect(&path).unwrap();
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left aside"
        );
    }

    #[tokio::test]
    async fn a_group_that_exists_owns_the_socket() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let own = Group::from_gid(nix::unistd::getgid()).unwrap().unwrap();
        let _listener = listen(&path, Some(&own.name)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().gid(), own.gid.as_raw());
    }

    #[tokio::test]
    async fn a_group_that_does_not_exist_is_no_error() {
        let home = tempfile::tempdir().unwrap();
        listen(&home.path().join("control.sock"), Some("no-such-group-here")).unwrap();
    }

    #[test]
    fn who_may_connect_to_a_socket_of_somebody_else_is_looked_at() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let own = fs::metadata(&path).unwrap().gid();
        let with = |mode: u32, gid: Option<u32>| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            check(&path, gid)
        };
        assert!(with(0o660, Some(own)).is_ok() && with(0o600, None).is_ok());
        for open in [0o666, 0o661, 0o664] {
            let refused = with(open, Some(own)).unwrap_err().to_string();
            assert!(refused.contains("SocketMode=0660"), "{refused}");
        }
        if own == 0 {
            chown(&path, None, Some(12345)).unwrap();
        }
        let other = with(0o660, Some(own.wrapping_add(1)));
        assert!(
            matches!(other, Err(SocketError::Open { mode: 0o660, .. })),
            "another group"
        );
        assert!(with(0o640, None).is_ok(), "it may not connect");
    }

    #[tokio::test]
    async fn a_served_socket_stays_and_a_stale_one_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let first = listen(&path, None).unwrap();
        assert!(matches!(listen(&path, None), Err(SocketError::InUse(_))));
        drop(first);
        listen(&path, None).unwrap();
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(listen(&path, None), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
