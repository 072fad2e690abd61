//! What to do about a file that cannot be read. A daemon that runs may open less than whoever starts it or asks it.

use std::io::ErrorKind;

/// What to do, by why it cannot be read.
#[must_use]
pub fn hint(cause: ErrorKind) -> &'static str {
    if cause == ErrorKind::PermissionDenied {
        "a running daemon reads as the user that it has become, and only in directories of files that it had at its start (and in /etc, unless it stayed root): `chgrp` and `chmod g+r` the file and move it there, or restart the daemon"
    } else {
        "the file must be there, and readable for the daemon, which after its start is another user than root (chgrp, chmod g+r)"
    }
}
