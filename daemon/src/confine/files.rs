//! Confinement to files (landlock): whatever is not named here is closed, however its permissions are.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Extent;

/// The version whose rights are known here; of an older kernel, as many as it has.
const KNOWN: ABI = ABI::V6;
/// What the standard library, the resolver of names and our own metrics look at.
const SYSTEM: [&str; 3] = ["/proc", "/sys/devices/system/cpu", "/sys/kernel/security"];
/// What tells how names of servers are found.
const RESOLVER: [&str; 8] = [
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
];
/// Where `/etc/resolv.conf` may point to.
const RESOLVED: [&str; 3] = ["/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"];
/// What everybody may read there is no secret.
const CONFIGURATION: &str = "/etc";

/// Reads its files anew, writes to its state, binds nothing, and signals nobody.
pub(super) fn daemon(state: &Path, files: &[PathBuf], is_root: bool) -> Result<Extent, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let rules = ruleset()?
        .add_rules(path_beneath_rules(
            SYSTEM.iter().chain(&RESOLVER).chain(&RESOLVED),
            read,
        ))?
        .add_rules(path_beneath_rules(surroundings(files), read))?
        .add_rules(path_beneath_rules([state], written()))?;
    // For another user the permissions decide; root may read what is secret.
    let open = [CONFIGURATION].into_iter().filter(|_| !is_root);
    let rules = rules.add_rules(path_beneath_rules(open, read))?;
    Ok(extent(&rules.restrict_self()?))
}

/// Writes to its places, and speaks with nobody.
pub(super) fn helper(places: &[PathBuf]) -> Result<Extent, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let rules = ruleset()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(places, written()))?;
    Ok(extent(&rules.restrict_self()?))
}

/// Everything that can be forbidden is, but for connections to servers, which is what a proxy makes.
fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::Signal)?
        .create()
}

/// All that can be done to files and directories, but for executing them and making devices.
fn written() -> BitFlags<AccessFs> {
    AccessFs::from_all(KNOWN)
        & !(AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev | AccessFs::Refer)
}

/// The directories of files, so that a file which is replaced can be read again; of those in directories that hold much
/// else, the file alone. Where one is a link, what it points to as well.
fn surroundings(files: &[PathBuf]) -> Vec<PathBuf> {
    let real = files.iter().filter_map(|file| file.canonicalize().ok());
    let mut places: Vec<PathBuf> = files
        .iter()
        .cloned()
        .chain(real)
        .map(|file| match file.parent() {
            Some(directory) if directory.components().count() > 2 => directory.to_owned(),
            Some(_) | None => file,
        })
        .collect();
    places.sort();
    places.dedup();
    places
}

fn extent(status: &RestrictionStatus) -> Extent {
    match status.ruleset {
        RulesetStatus::FullyEnforced => Extent::Whole,
        RulesetStatus::PartiallyEnforced => Extent::Part,
        RulesetStatus::NotEnforced => Extent::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_anew_with_its_directory_unless_that_holds_much_else() {
        let places = surroundings(&[
            "/srv/gate/rules/a.toml".into(),
            "/no-such/b.toml".into(),
            "/c.toml".into(),
        ]);
        let expected: [PathBuf; 3] = ["/c.toml".into(), "/no-such/b.toml".into(), "/srv/gate/rules".into()];
        assert_eq!(places, expected);
    }
}
