//! What can go wrong between the daemon and the kernel, each with its remedy.

use std::{io, net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use portcullis_common::MAX_EXEMPT_PORTS;

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
    #[error("kernel {found} is too old for the packet program; it needs 5.15 or later")]
    KernelTooOld {
        /// The running kernel.
        found: String,
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

    /// Something else than capabilities forbids it.
    #[error(
        "the kernel refuses to load the packet program although the capabilities are there \
         ({source}); is this a container, or does a seccomp filter forbid bpf(2)?"
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

    /// Another process has the pins.
    #[error("another portcullis uses {}; stop it first", path.display())]
    PinsInUse {
        /// The directory.
        path: PathBuf,
    },

    /// The interface has another XDP program.
    #[error(
        "another XDP program is attached to {interface}: {program}; detach it \
         (`ip link set dev {interface} xdp off`, or stop the service that owns it), \
         or leave this interface out"
    )]
    OtherProgram {
        /// Which interface.
        interface: String,
        /// Name and id of the program.
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
