//! The packet layer as the daemon sees it: targets go in, drops and counters come out.
//!
//! The only module that knows the maps of the XDP program, and the kernel that runs it. It refuses
//! to know why somebody is banned; that is the guard's business.

mod attach;
mod attachment;
mod clock;
mod counters;
mod debug_log;
mod error;
mod events;
mod maps;
mod netlink;
mod object;
mod options;
mod privilege;
mod sys;
mod table;
mod target;

use std::{
    os::fd::AsFd,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
pub use portcullis_common::{Origin, Reason};

use self::{attachment::Attachment, maps::Maps, target::Key};
pub use self::{
    attachment::{InterfaceStatus, TestRun},
    counters::{Count, Counters},
    error::EnforcerError,
    events::{DropReport, Events},
    object::{bytes as object_bytes, is_embedded},
    options::{AttachMode, AttachOptions, Capacities, Mode},
    target::{Flow, Target},
};

/// A loaded XDP program with its maps, attached to the interfaces it was told.
///
/// The program leaves the interfaces when this is dropped, or the process ends in whatever way.
/// All methods may be called from several threads; a ban costs about two system calls.
pub struct Enforcer {
    maps: Maps,
    /// What the program reads as its settings. Whoever changes a table holds this lock, so that
    /// the sweep cannot remove what was prolonged a moment ago.
    settings: Mutex<maps::Settings>,
    events: Mutex<Option<Events>>,
    attachment: Attachment,
}

/// What the kernel knows about a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelBan {
    /// Until the kernel itself stops to honour it.
    pub remaining: Duration,
    /// Who asked for it.
    pub origin: Option<Origin>,
}

/// What the kernel holds: for reconciling it with what it should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelContents {
    /// The bans that still hold, in no order.
    pub bans: Vec<(Target, KernelBan)>,
    /// The never-ban set, in no order.
    pub allowed: Vec<IpNet>,
}

impl Enforcer {
    /// Loads the program and attaches it to every interface of `options`, or to none of them if
    /// one refuses. No interface at all is fine: tests and benches run frames without a network.
    pub fn attach(options: &AttachOptions) -> Result<Self, EnforcerError> {
        let mut program = attach::load(options)?;
        let maps = Maps::open(&program)?;
        let settings = maps::Settings::open(&program, options)?;
        let events = Events::open(&mut program)?;
        if options.debug {
            debug_log::follow(&mut program)?;
        }
        let interfaces = attach::attach_all(&mut program, options)?;
        Ok(Self {
            maps,
            settings: Mutex::new(settings),
            events: Mutex::new(Some(events)),
            attachment: Attachment::new(program, interfaces),
        })
    }

    /// Bans `target` for `ttl` from now, whatever was left of an earlier ban of it.
    pub fn ban(&self, target: Target, ttl: Duration, origin: Origin) -> Result<(), EnforcerError> {
        let key = Key::try_from(target)?;
        if self.maps.is_never_ban(&key)? {
            return Err(EnforcerError::NeverBanned { target });
        }
        let entry = clock::ban_entry(&key, ttl, origin);
        let mut settings = self.settings();
        self.maps.insert(&key, &entry)?;
        settings.use_table(key.table())
    }

    /// Lifts the ban of exactly this target; `false` if there was none.
    pub fn unban(&self, target: Target) -> Result<bool, EnforcerError> {
        let key = Key::try_from(target)?;
        let _writing = self.settings();
        self.maps.remove(&key)
    }

    /// The ban of exactly this target, unless it has ended.
    pub fn lookup(&self, target: Target) -> Result<Option<KernelBan>, EnforcerError> {
        let key = Key::try_from(target)?;
        Ok(self.maps.entry(&key)?.and_then(|entry| clock::holding(&entry)))
    }

    /// Puts a network into the never-ban set. Bans inside of it stay, without effect.
    pub fn allow(&self, network: IpNet) -> Result<(), EnforcerError> {
        self.maps.allow(&target::prefix_key(network)?)
    }

    /// Takes a network out of the never-ban set; `false` if it was not in it.
    pub fn disallow(&self, network: IpNet) -> Result<bool, EnforcerError> {
        self.maps.disallow(&target::prefix_key(network)?)
    }

    /// The never-ban set.
    pub fn allowed(&self) -> Result<Vec<IpNet>, EnforcerError> {
        self.maps.allowed()
    }

    /// Switches between dropping and only counting, at once and for every interface.
    pub fn set_mode(&self, mode: Mode) -> Result<(), EnforcerError> {
        self.settings().set_mode(mode)
    }

    /// Whether the program drops or only counts.
    pub fn mode(&self) -> Mode {
        self.settings().mode()
    }

    /// Replaces the exempt ports.
    pub fn set_exempt_ports(&self, ports: &[u16]) -> Result<(), EnforcerError> {
        self.settings().set_exempt_ports(ports)
    }

    /// The counters, summed over the processors.
    pub fn counters(&self) -> Result<Counters, EnforcerError> {
        self.maps.counters()
    }

    /// Where the program is attached, and how.
    pub fn interfaces(&self) -> &[InterfaceStatus] {
        self.attachment.interfaces()
    }

    /// Removes bans that have ended, which the program ignores anyway, and tells how many.
    ///
    /// Walks every table: some microseconds a ban. Call it every few minutes.
    pub fn sweep_expired(&self) -> Result<usize, EnforcerError> {
        let mut swept = 0;
        for table in maps::BanTable::ALL {
            for key in self.maps.expired(table)? {
                swept += usize::from(self.remove_if_expired(&key)?);
            }
            let mut settings = self.settings();
            if self.maps.is_empty(table)? {
                settings.leave_table(table)?;
            }
        }
        Ok(swept)
    }

    /// Everything that the kernel holds.
    pub fn list(&self) -> Result<KernelContents, EnforcerError> {
        Ok(KernelContents {
            bans: self.maps.bans()?,
            allowed: self.maps.allowed()?,
        })
    }

    /// The source of drop events; `None` from the second call on, as there is one ring buffer.
    pub fn take_events(&self) -> Option<Events> {
        lock(&self.events).take()
    }

    /// Runs one frame through the program, `repeat` times, without any network.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun, EnforcerError> {
        self.attachment.test_run(frame, repeat)
    }

    /// How many instructions the program has after the verifier removed what cannot run.
    pub fn instructions(&self) -> Result<u32, EnforcerError> {
        self.attachment.instructions()
    }

    fn remove_if_expired(&self, key: &Key) -> Result<bool, EnforcerError> {
        let _writing = self.settings();
        match self.maps.entry(key)? {
            Some(entry) if clock::holding(&entry).is_none() => self.maps.remove(key),
            Some(_) | None => Ok(false),
        }
    }

    fn settings(&self) -> MutexGuard<'_, maps::Settings> {
        lock(&self.settings)
    }
}

/// A panic while one of our locks is held leaves nothing half-done that the kernel would see.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clone_fd(fd: impl AsFd) -> std::io::Result<std::os::fd::OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}
