//! What can go wrong between the daemon and the kernel, each with its remedy.

use std::{io, net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use portcullis_common::{MAX_EXEMPT_PORTS, MAX_FLOOD_PORTS};

use super::Target;

/// Why the packet layer refused.
#[derive(Debug, thiserror::Error)]
pub enum EnforcerError {
    /// `cargo build` alone does not compile the XDP program.
    #[error("built without the packet program; build with `cargo xtask build`")]
    NotBuilt,

    /// The object is no eBPF object of ours.
    #[error("the packet program cannot be read ({reason}); rebuild with `cargo xtask build`")]
    BadObject {
        /// What is wrong with it.
        reason: String,
    },

    /// The object is of another version than the daemon.
    #[error(
        "the packet program speaks map layout {found}, this daemon {expected}; \
         rebuild both with `cargo xtask build`"
    )]
    WrongAbi {
        /// Of the object.
        found: u32,
        /// Of the daemon.
        expected: u32,
    },

    /// The kernel lacks what the program needs.
    #[error(
        "kernel {found} lacks {feature}, which the packet program needs; Linux {since} or later has it, unless it was \
         built without"
    )]
    FeatureMissing {
        /// The running kernel.
        found: String,
        /// What is missing.
        feature: &'static str,
        /// The version that brought it.
        since: &'static str,
    },

    /// The process lacks capabilities.
    #[error(
        "may not load the packet program: {missing} missing; run as root, or give the service \
         AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON"
    )]
    MissingCapability {
        /// Names of capabilities.
        missing: String,
    },

    /// The kernel is locked down.
    #[error(
        "the kernel is locked down ({level}) and refuses eBPF programs; boot with \
         lockdown=integrity or less, or turn off secure boot"
    )]
    LockedDown {
        /// What `/sys/kernel/security/lockdown` says.
        level: String,
    },

    /// The process runs in a user namespace, whose root is not the machine's.
    #[error(
        "the kernel refuses to load the packet program ({source}): this process has its capabilities in a user \
         namespace only; start it outside of the container, or without user namespaces (systemd: PrivateUsers=no)"
    )]
    UserNamespace {
        /// What the kernel said.
        source: io::Error,
    },

    /// A seccomp filter is in place.
    #[error(
        "the kernel refuses to load the packet program ({source}) although the capabilities are there: a seccomp \
         filter is in place, which must allow bpf(2) (systemd: SystemCallFilter=bpf after all others; containers: \
         a profile with bpf)"
    )]
    Filtered {
        /// What the kernel said.
        source: io::Error,
    },

    /// Something else than capabilities forbids it.
    #[error(
        "the kernel refuses to load the packet program ({source}) although the capabilities are there, and neither \
         lockdown nor seccomp is in the way: look for a denial of SELinux or AppArmor in the kernel's log"
    )]
    Forbidden {
        /// What the kernel said.
        source: io::Error,
    },

    /// The verifier refused the program.
    #[error("the kernel's verifier refuses the packet program; please report this:\n{log}")]
    Verifier {
        /// The end of its log.
        log: String,
    },

    /// Any other failure to load.
    #[error("failed to load the packet program: {reason}")]
    Load {
        /// The whole chain of causes.
        reason: String,
    },

    /// There is no interface of that name.
    #[error("there is no network interface `{name}`; there are: {available}")]
    NoSuchInterface {
        /// The name that was given.
        name: String,
        /// The names that exist.
        available: String,
    },

    /// The kernel has no bpffs.
    #[error(
        "cannot keep anything at {}: this kernel has no bpffs (CONFIG_BPF_SYSCALL); set packet.pins = \"\" to let bans \
         end with the daemon",
        path.display()
    )]
    NoBpffs {
        /// The directory.
        path: PathBuf,
    },

    /// The directory is on no bpffs, and we may not mount one.
    #[error(
        "{} is not on a bpffs, and mounting one takes CAP_SYS_ADMIN, which this process lacks; mount it before \
         (`mount -t bpf bpf {}`), or set packet.pins to a directory on one",
        path.display(), path.display()
    )]
    MayNotMount {
        /// The directory.
        path: PathBuf,
    },

    /// The directory cannot be written to.
    #[error(
        "cannot write to {} ({source}); it must belong to the user that the daemon runs as, and be writable for it \
         (systemd: ReadWritePaths, and no ProtectKernelTunables over /sys/fs/bpf)",
        path.display()
    )]
    PinsReadOnly {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },

    /// The place for what outlives the process cannot be used.
    #[error("failed to {action} {}: {source}; it must be a bpffs, or a place where one may be mounted", path.display())]
    Pins {
        /// Which file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },

    /// What the privileged helper said, or why it says nothing.
    #[error("{said}")]
    Helper {
        /// In its words.
        said: String,
    },

    /// Another process has the pins.
    #[error("another portcullis uses {}; stop it first", path.display())]
    PinsInUse {
        /// The directory.
        path: PathBuf,
    },

    /// The interface has another XDP program.
    #[error(
        "another XDP program is attached to {interface}: {program}; stop the service that owns it, detach it \
         (`{remedy}`), or leave this interface out"
    )]
    OtherProgram {
        /// Which interface.
        interface: String,
        /// Name, id and mode of the program.
        program: String,
        /// The command that detaches it.
        remedy: String,
    },

    /// The interface is shared through libxdp, which this program does not join.
    #[error(
        "{interface} is shared through libxdp: {program}; portcullis does not join its dispatcher. See what is in it (`xdp-loader status {interface}`), and unload it \
         (`xdp-loader unload {interface} --all`), or leave this interface out"
    )]
    Dispatcher {
        /// Which interface.
        interface: String,
        /// Name, id and mode of the dispatcher.
        program: String,
    },

    /// The driver has no native XDP, and nothing else was allowed.
    #[error("{interface} cannot run XDP natively ({source}); choose the attach mode `auto` or `generic`")]
    NativeUnsupported {
        /// Which interface.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },

    /// Any other failure to attach.
    #[error("failed to attach to {interface}: {reason}")]
    Attach {
        /// Which interface.
        interface: String,
        /// What the kernel said.
        reason: String,
    },

    /// A table is full. Nothing was lost, the ban was not taken.
    #[error(
        "the table of {table} is full ({capacity} entries); raise its capacity, or ban prefixes \
         instead of hosts"
    )]
    MapFull {
        /// Which table.
        table: &'static str,
        /// How many entries it takes.
        capacity: u32,
    },

    /// There is no room for larger tables. The earlier ones stay, with every ban.
    #[error(
        "the tables cannot grow from {from} to {to} bans: {reason}; free memory, or set packet.max_bans_limit to what \
         this machine can hold"
    )]
    NoMemoryToGrow {
        /// What they hold.
        from: u32,
        /// What they should hold.
        to: u32,
        /// What is missing.
        reason: String,
    },

    /// The process may no longer make tables. The earlier ones stay, with every ban.
    #[error(
        "the tables cannot grow from {from} to {to} bans while the daemon runs: {reason}. Set packet.max_bans to what is \
         needed, and restart"
    )]
    MayNotGrow {
        /// What they hold.
        from: u32,
        /// What they should hold.
        to: u32,
        /// What is missing.
        reason: String,
    },

    /// The target is in the never-ban set.
    #[error("{target} is in the never-ban set; take it out first (`portcullis allow del`)")]
    NeverBanned {
        /// What was to be banned.
        target: Target,
    },

    /// An IPv6 network that would also mean all of IPv4.
    #[error("{network} is too wide: it would hold all of IPv4 too; use 2000::/3 for all of IPv6")]
    SwallowsV4 {
        /// The network.
        network: IpNet,
    },

    /// The ends of a connection are of different families.
    #[error("{remote} and {local} cannot be the ends of one connection: IPv4 and IPv6")]
    MixedFlow {
        /// The peer.
        remote: SocketAddr,
        /// Our end.
        local: SocketAddr,
    },

    /// The settings have room for a few ports.
    #[error("{given} exempt ports are too many; at most {MAX_EXEMPT_PORTS} are possible")]
    TooManyExemptPorts {
        /// How many were given.
        given: usize,
    },

    /// The same for the ports of the SYN-flood mode.
    #[error("{given} ports are too many for the SYN-flood mode; at most {MAX_FLOOD_PORTS} are possible")]
    TooManyFloodPorts {
        /// How many were given.
        given: usize,
    },

    /// A system call on a map failed.
    #[error("failed to {action} the map {map}: {source}")]
    Map {
        /// Which map.
        map: &'static str,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}
