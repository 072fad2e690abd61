//! Who the daemon is once it has started.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid, initgroups, setresgid, setresuid};

/// The user that the daemon becomes when nothing else is said, and that the package makes.
pub const OWN_USER: &str = "portcullis";
const ROOT: &str = "root";

/// Why it cannot be that user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is none.
    #[error(
        "there is no user `{0}` (service.user); make one (`useradd --system --no-create-home {0}`), or leave the key out"
    )]
    Unknown(String),
    /// The system refused.
    #[error("failed to become the user `{name}`: {source}")]
    Refused {
        /// The user.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Its files cannot be given to it.
    #[error("failed to give {} to the user `{name}`: {source}", path.display())]
    Give {
        /// What should be given.
        path: PathBuf,
        /// The user.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Others could put files into it.
    #[error("{} can be written to by others (mode {mode:o}), and is not given away; chmod 700 it (state.directory)", path.display())]
    Shared {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// Who to be.
pub(super) enum Choice {
    /// Whoever started it, as that is not root.
    Starter,
    /// Root, and why.
    Root(&'static str),
    /// Another user.
    Other(User),
}

pub(super) fn choose(wanted: Option<&str>) -> Result<Choice, UserError> {
    if !geteuid().is_root() {
        return Ok(Choice::Starter);
    }
    let name = wanted.unwrap_or(OWN_USER);
    if name == ROOT {
        return Ok(Choice::Root("service.user says so"));
    }
    let found = User::from_name(name).map_err(|error| UserError::Refused {
        name: name.to_owned(),
        source: error.into(),
    })?;
    match found {
        Some(user) if user.uid.is_root() => Ok(Choice::Root("service.user says so")),
        Some(user) => Ok(Choice::Other(user)),
        None if wanted.is_none() => Ok(Choice::Root("there is no user `portcullis`")),
        None => Err(UserError::Unknown(name.to_owned())),
    }
}

/// Becomes it, and takes the files in `state` along. Tells why it is still root, if it is.
pub(super) fn become_it(choice: &Choice, state: &Path) -> Result<Option<&'static str>, UserError> {
    let user = match choice {
        Choice::Starter => return Ok(None),
        Choice::Root(reason) => return Ok(Some(reason)),
        Choice::Other(user) => user,
    };
    give(state, user)?;
    let refused = |source: io::Error| UserError::Refused {
        name: user.name.clone(),
        source,
    };
    let name = CString::new(user.name.as_str()).map_err(|error| refused(error.into()))?;
    initgroups(&name, user.gid).map_err(|error| refused(error.into()))?;
    setresgid(user.gid, user.gid, user.gid).map_err(|error| refused(error.into()))?;
    setresuid(user.uid, user.uid, user.uid).map_err(|error| refused(error.into()))?;
    Ok(None)
}

/// Gives a directory of ours and the files in it to the user. What is another's already is left alone.
fn give(directory: &Path, user: &User) -> Result<(), UserError> {
    let failed = |path: &Path| {
        let (path, name) = (path.to_owned(), user.name.clone());
        move |source| UserError::Give { path, name, source }
    };
    let metadata = fs::symlink_metadata(directory).map_err(failed(directory))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(UserError::Shared {
            path: directory.to_owned(),
            mode,
        });
    }
    let (uid, gid) = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        let metadata = fs::symlink_metadata(&path).map_err(failed(&path))?;
        // A file with a second name elsewhere may be somebody else's.
        if metadata.is_file() && metadata.uid() == 0 && metadata.nlink() == 1 {
            lchown(&path, uid, gid).map_err(failed(&path))?;
        }
    }
    if metadata.uid() == 0 {
        lchown(directory, uid, gid).map_err(failed(directory))?;
    }
    Ok(())
}

/// The name of the user that this process is, or its number.
pub(super) fn current() -> String {
    let id = geteuid();
    match User::from_uid(id) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_write_to_is_not_given_away() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let user = User::from_uid(geteuid()).unwrap().unwrap();
        let refused = give(home.path(), &user).unwrap_err().to_string();
        assert!(refused.contains("777") && refused.contains("chmod 700"), "{refused}");
    }

    #[test]
    fn who_is_root_may_be_told_to_stay_it_and_nobody_else_is_guessed() {
        if !geteuid().is_root() {
            assert!(matches!(choose(Some("no-such-user-here")), Ok(Choice::Starter)));
            return;
        }
        assert!(matches!(choose(Some("root")), Ok(Choice::Root(_))));
        assert!(matches!(choose(Some("nobody")), Ok(Choice::Other(_))));
        assert!(matches!(choose(Some("no-such-user-here")), Err(UserError::Unknown(_))));
    }
}
