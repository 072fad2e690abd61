//! The packet layer as the daemon sees it: targets go in, drops and counters come out.
//!
//! The only module that knows the maps of the XDP program, and the kernel that runs it. It refuses
//! to know why somebody is banned; that is the guard's business.

mod apart;
mod attach;
mod attachment;
mod bpffs;
mod bulk;
mod clock;
mod counters;
mod debug_log;
mod error;
mod events;
mod filter;
mod geometry;
mod ground;
mod growth;
mod handed;
mod hands;
mod helper;
mod hits;
mod holder;
mod hosts;
mod legacy;
mod life;
mod links;
mod mapped;
mod maps;
mod netlink;
mod object;
mod options;
mod pins;
mod privilege;
mod probe;
mod reconcile;
mod settings;
mod start;
mod sys;
mod table;
mod target;
mod wire;

use std::{
    os::fd::AsFd,
    process::Child,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
pub use portcullis_common::{Origin, Reason};

pub use self::{
    attachment::{InterfaceStatus, TestRun},
    counters::{Count, Counters},
    error::EnforcerError,
    events::{DropReport, Events},
    growth::{Growth, room_for},
    helper::Helper,
    hits::Hits,
    netlink::InterfaceChanges,
    object::{bytes as object_bytes, is_embedded},
    options::{AttachMode, AttachOptions, Capacities, Mode, Rate, RateLimits, Shuffle, SynFlood},
    reconcile::{Intended, Reconciled},
    target::{Flow, Target},
};
use self::{counters::CounterTable, hands::Hands, maps::Maps, netlink::Change, settings::Settings, target::Key};

/// A loaded XDP program with its maps, attached to the interfaces it was told.
///
/// The program leaves the interfaces when this is dropped, or the process ends in whatever way;
/// unless it is pinned: then it stays with every ban until another process takes it over.
/// All methods may be called from several threads; a ban of a host costs no system call.
pub struct Enforcer {
    tables: Mutex<Tables>,
    counters: CounterTable,
    events: Mutex<Option<Events>>,
    interface_changes: Mutex<Option<InterfaceChanges>>,
    hands: Mutex<Hands>,
    helper: Mutex<Option<Child>>,
    /// Where the program was attached when that was last looked at.
    attached: Mutex<Vec<InterfaceStatus>>,
    growth: Mutex<Growth>,
    /// The interfaces that should be guarded.
    wanted: Vec<String>,
    syn_cookies: bool,
}

/// What one writer at a time may change.
struct Tables {
    maps: Maps,
    settings: Settings,
    capacities: Capacities,
}

/// What the kernel knows about a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelBan {
    /// Until the kernel itself stops to honour it.
    pub remaining: Duration,
    /// Who asked for it.
    pub origin: Option<Origin>,
    /// What it kept away, if that was counted.
    pub hits: Option<Hits>,
}

/// What the kernel holds: for reconciling it with what it should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelContents {
    /// The bans that still hold, in no order.
    pub bans: Vec<(Target, KernelBan)>,
    /// The never-ban set, in no order.
    pub allowed: Vec<IpNet>,
}

/// How full the table of hosts (and /64s of IPv6) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bans, ended ones not yet swept among them.
    pub hosts: u32,
    /// Those of them that found their line of the table full and take longer to find.
    pub overflowed: u32,
    /// How many may be there.
    pub capacity: u32,
}

impl Enforcer {
    /// Looks at all interfaces: attaches where one came (back) under its name, and forgets those that went.
    ///
    /// Returns where the program is attached now.
    ///
    /// # Errors
    /// The first interface that refused. The others are guarded all the same.
    pub fn refresh_interfaces(&self) -> Result<Vec<InterfaceStatus>, EnforcerError> {
        let (attached, outcome) = lock(&self.hands).refresh()?;
        lock(&self.attached).clone_from(&attached);
        outcome.map(|()| attached)
    }

    /// The source of changes of interfaces; `None` from the second call on. They are those of the network namespace
    /// that the program was attached in.
    pub fn take_interface_changes(&self) -> Option<InterfaceChanges> {
        lock(&self.interface_changes).take()
    }

    /// Does what [`refresh_interfaces`](Self::refresh_interfaces) does if one of the changes concerns us, or some were
    /// lost; tells whether it did. Call it when `changes` is readable.
    ///
    /// # Errors
    /// The same.
    pub fn follow_interfaces(&self, changes: &InterfaceChanges) -> Result<bool, EnforcerError> {
        let read = changes.read().map_err(|error| EnforcerError::Attach {
            interface: "(all)".to_owned(),
            reason: format!("changes of interfaces cannot be read: {error}"),
        })?;
        let concerned = read.iter().any(|change| match change {
            Change::Of(interface) => self.concerns(interface),
            Change::Lost => true,
        });
        if concerned {
            self.refresh_interfaces()?;
        }
        Ok(concerned)
    }

    /// Whether a change of that interface is any of our business.
    fn concerns(&self, interface: &netlink::Interface) -> bool {
        self.wanted.contains(&interface.name)
            || lock(&self.attached)
                .iter()
                .any(|attached| attached.index == interface.index)
    }

    /// Bans `target` for `ttl` from now, whatever was left of an earlier ban of it.
    ///
    /// A full table grows first if it may; then this waits for it.
    pub fn ban(&self, target: Target, ttl: Duration, origin: Origin) -> Result<(), EnforcerError> {
        let (key, expires) = (Key::try_from(target)?, clock::expiry(ttl));
        let mut outcome = self.tables().ban(&key, expires, origin);
        // Others may take the room that was made.
        for _ in 0..ATTEMPTS {
            if !matches!(outcome, Err(EnforcerError::MapFull { .. })) || !self.make_room(1) {
                break;
            }
            outcome = self.tables().ban(&key, expires, origin);
        }
        outcome
    }

    /// Lifts the ban of exactly this target; `false` if there was none.
    pub fn unban(&self, target: Target) -> Result<bool, EnforcerError> {
        self.tables().maps.remove(&Key::try_from(target)?)
    }

    /// The ban of exactly this target, unless it has ended.
    pub fn lookup(&self, target: Target) -> Result<Option<KernelBan>, EnforcerError> {
        self.tables().maps.ban(&Key::try_from(target)?)
    }

    /// What each of these bans kept away, if that was counted; in their order.
    pub fn hits(&self, targets: impl IntoIterator<Item = Target>) -> Vec<Option<Hits>> {
        let tables = self.tables();
        let hits = |target| tables.maps.hits(&Key::try_from(target).ok()?);
        targets.into_iter().map(hits).collect()
    }

    /// Puts a network into the never-ban set. Bans inside of it stay, without effect.
    pub fn allow(&self, network: IpNet) -> Result<(), EnforcerError> {
        self.tables().maps.allow(&target::prefix_key(network)?)
    }

    /// Takes a network out of the never-ban set; `false` if it was not in it.
    pub fn disallow(&self, network: IpNet) -> Result<bool, EnforcerError> {
        self.tables().maps.disallow(&target::prefix_key(network)?)
    }

    /// The never-ban set.
    pub fn allowed(&self) -> Result<Vec<IpNet>, EnforcerError> {
        Ok(self.tables().maps.allowed())
    }

    /// How full the table of hosts is.
    pub fn usage(&self) -> Usage {
        let (hosts, overflowed, capacity) = self.tables().maps.hosts();
        Usage {
            hosts,
            overflowed,
            capacity,
        }
    }

    /// Switches between dropping and only counting, at once and for every interface.
    pub fn set_mode(&self, mode: Mode) -> Result<(), EnforcerError> {
        self.tables().settings.set_mode(mode)
    }

    /// Whether the program drops or only counts.
    pub fn mode(&self) -> Mode {
        self.tables().settings.mode()
    }

    /// The same for the bans of one origin: they drop if both this and the mode are to enforce.
    pub fn set_origin_mode(&self, origin: Origin, mode: Mode) -> Result<(), EnforcerError> {
        self.tables().settings.set_origin_mode(origin, mode)
    }

    /// The origins whose bans are only counted, whatever the mode.
    pub fn monitored_origins(&self) -> Vec<Origin> {
        self.tables().settings.monitored()
    }

    /// Whether the kernel answered a flood of SYNs with cookies when this started. If not, a flood fills its tables.
    pub const fn has_syn_cookies(&self) -> bool {
        self.syn_cookies
    }

    /// Puts the settings of `options` in force for the running program, all at once. What only a start can change of them,
    /// like interfaces and sizes, stays.
    pub fn configure(&self, options: &AttachOptions) -> Result<(), EnforcerError> {
        self.tables().settings.configure(options)
    }

    /// Replaces the exempt ports.
    pub fn set_exempt_ports(&self, ports: &[u16]) -> Result<(), EnforcerError> {
        self.tables().settings.set_exempt_ports(ports)
    }

    /// The counters, summed over the processors.
    pub fn counters(&self) -> Result<Counters, EnforcerError> {
        self.counters.sums()
    }

    /// Where the program is attached, and how, as it was last looked at.
    pub fn interfaces(&self) -> Vec<InterfaceStatus> {
        lock(&self.attached).clone()
    }

    /// Interfaces that it should guard and does not: there are none of these names, or they refused.
    pub fn unguarded(&self) -> Vec<String> {
        let guarded = self.interfaces();
        let is_unguarded = |name: &&String| guarded.iter().all(|interface| interface.name != **name);
        self.wanted.iter().filter(is_unguarded).cloned().collect()
    }

    /// Removes bans that have ended, which the program ignores anyway, and tells how many.
    ///
    /// Walks the tables only if one may have ended. Call it every few seconds.
    pub fn sweep_expired(&self) -> Result<usize, EnforcerError> {
        self.tables().maps.sweep()
    }

    /// Makes the filter anew from what the tables hold. [`sweep_expired`](Self::sweep_expired) does
    /// so when it is worth it.
    pub fn rebuild_filter(&self) -> Result<(), EnforcerError> {
        self.tables().maps.rebuild_filter()
    }

    /// Everything that the kernel holds.
    pub fn list(&self) -> Result<KernelContents, EnforcerError> {
        let tables = self.tables();
        Ok(KernelContents {
            bans: tables.maps.bans()?,
            allowed: tables.maps.allowed(),
        })
    }

    /// The source of drop events; `None` from the second call on, as there is one ring buffer.
    pub fn take_events(&self) -> Option<Events> {
        lock(&self.events).take()
    }

    /// The memory of all maps, by the kernel's own account.
    pub fn kernel_memory(&self) -> Result<u64, EnforcerError> {
        lock(&self.hands).memory()
    }

    /// Runs one frame through the program, `repeat` times, without any network; not with a helper.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun, EnforcerError> {
        lock(&self.hands).own()?.test_run(frame, repeat)
    }

    /// How many instructions the program has after the verifier removed what cannot run; not with a helper.
    pub fn instructions(&self) -> Result<u32, EnforcerError> {
        lock(&self.hands).own()?.attachment.instructions()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }
}

impl Tables {
    fn ban(&mut self, key: &Key, expires_boot_ns: u64, origin: Origin) -> Result<(), EnforcerError> {
        if self.maps.is_never_ban(&key.sources()) {
            return Err(EnforcerError::NeverBanned { target: (*key).into() });
        }
        self.maps.insert(key, expires_boot_ns, origin)
    }
}

/// How often a ban tries again after room was made for it.
const ATTEMPTS: u32 = 8;

/// A panic while one of our locks is held leaves nothing half-done that the kernel would see.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clone_fd(fd: impl AsFd) -> std::io::Result<std::os::fd::OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}
