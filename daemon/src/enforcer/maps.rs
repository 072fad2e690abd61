//! All maps of the program, and its settings.

use aya::{Ebpf, util::nr_cpus};
use ipnet::IpNet;
use portcullis_common::{
    ABI_VERSION, Address, BanEntry, Counter, FlowKey, MAX_EXEMPT_PORTS, MODE_ENFORCE, MODE_MONITOR, PrefixKey, Reason,
    Tables, maps,
};

use super::{
    AttachOptions, Counters, EnforcerError, KernelBan, Mode, Target, clock,
    table::Table,
    target::{self, Key},
};

/// A table that holds bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BanTable {
    Hosts,
    Prefixes,
    Flows,
}

impl BanTable {
    pub(super) const ALL: [Self; 3] = [Self::Hosts, Self::Prefixes, Self::Flows];

    const fn bit(self) -> u32 {
        match self {
            Self::Hosts => Tables::HOSTS,
            Self::Prefixes => Tables::PREFIXES,
            Self::Flows => Tables::FLOWS,
        }
    }
}

/// The maps.
pub(super) struct Maps {
    hosts: Table<Address, BanEntry>,
    prefixes: Table<PrefixKey, BanEntry>,
    flows: Table<FlowKey, BanEntry>,
    never_ban: Table<PrefixKey, u32>,
    counters: Table<u32, Counter>,
    /// Asked once: the answer is in `/sys`, which the sandbox hides later.
    possible_cpus: usize,
}

impl Maps {
    pub(super) fn open(program: &Ebpf) -> Result<Self, EnforcerError> {
        let possible_cpus = nr_cpus().map_err(|(path, error)| EnforcerError::Load {
            reason: format!("failed to read {path}: {error}"),
        })?;
        Ok(Self {
            hosts: Table::open(program, maps::HOSTS)?,
            prefixes: Table::open(program, maps::PREFIXES)?,
            flows: Table::open(program, maps::FLOWS)?,
            never_ban: Table::open(program, maps::NEVER_BAN)?,
            counters: Table::open(program, maps::COUNTERS)?,
            possible_cpus,
        })
    }

    pub(super) fn insert(&self, key: &Key, entry: &BanEntry) -> Result<(), EnforcerError> {
        match key {
            Key::Host(key) => self.hosts.set(key, entry),
            Key::Prefix(key) => self.prefixes.set(key, entry),
            Key::Flow(key) => self.flows.set(key, entry),
        }
    }

    pub(super) fn remove(&self, key: &Key) -> Result<bool, EnforcerError> {
        match key {
            Key::Host(key) => self.hosts.remove(key),
            Key::Prefix(key) => self.prefixes.remove(key),
            Key::Flow(key) => self.flows.remove(key),
        }
    }

    /// The entry of exactly this key, ended or not.
    pub(super) fn entry(&self, key: &Key) -> Result<Option<BanEntry>, EnforcerError> {
        match key {
            Key::Host(key) => self.hosts.get(key),
            // A trie answers with the longest prefix that holds the key: a shorter one, maybe.
            Key::Prefix(key) => Ok(self.prefixes.get(key)?.filter(|entry| entry.prefix_bits == key.bits)),
            Key::Flow(key) => self.flows.get(key),
        }
    }

    pub(super) fn bans(&self) -> Result<Vec<(Target, KernelBan)>, EnforcerError> {
        let mut bans = Vec::new();
        for table in BanTable::ALL {
            for (key, entry) in self.entries(table)? {
                if let Some(ban) = clock::holding(&entry) {
                    bans.push((key.into(), ban));
                }
            }
        }
        Ok(bans)
    }

    pub(super) fn expired(&self, table: BanTable) -> Result<Vec<Key>, EnforcerError> {
        let mut entries = self.entries(table)?;
        entries.retain(|(_, entry)| clock::holding(entry).is_none());
        Ok(entries.into_iter().map(|(key, _)| key).collect())
    }

    pub(super) fn is_empty(&self, table: BanTable) -> Result<bool, EnforcerError> {
        match table {
            BanTable::Hosts => self.hosts.is_empty(),
            BanTable::Prefixes => self.prefixes.is_empty(),
            BanTable::Flows => self.flows.is_empty(),
        }
    }

    pub(super) fn allow(&self, key: &PrefixKey) -> Result<(), EnforcerError> {
        self.never_ban.set(key, &key.bits)
    }

    pub(super) fn disallow(&self, key: &PrefixKey) -> Result<bool, EnforcerError> {
        self.never_ban.remove(key)
    }

    pub(super) fn allowed(&self) -> Result<Vec<IpNet>, EnforcerError> {
        let entries = self.never_ban.entries()?;
        Ok(entries.iter().map(|(key, _)| target::network(key)).collect())
    }

    /// Whether the never-ban set holds every source that this key is about.
    pub(super) fn is_never_ban(&self, key: &Key) -> Result<bool, EnforcerError> {
        Ok(self.never_ban.get(&key.sources())?.is_some())
    }

    pub(super) fn counters(&self) -> Result<Counters, EnforcerError> {
        let mut sums = Counters::default();
        let mut per_cpu = vec![Counter::default(); self.possible_cpus];
        for index in 0..Reason::COUNTERS {
            self.counters.get_per_cpu(index, &mut per_cpu)?;
            for counter in &per_cpu {
                sums.add(index, counter);
            }
        }
        Ok(sums)
    }

    fn entries(&self, table: BanTable) -> Result<Vec<(Key, BanEntry)>, EnforcerError> {
        fn keyed<K>(entries: Vec<(K, BanEntry)>, key: fn(K) -> Key) -> Vec<(Key, BanEntry)> {
            entries.into_iter().map(|(k, entry)| (key(k), entry)).collect()
        }
        match table {
            BanTable::Hosts => self.hosts.entries().map(|all| keyed(all, Key::Host)),
            BanTable::Prefixes => self.prefixes.entries().map(|all| keyed(all, Key::Prefix)),
            BanTable::Flows => self.flows.entries().map(|all| keyed(all, Key::Flow)),
        }
    }
}

/// The settings of the running program, and a copy of them.
pub(super) struct Settings {
    map: Table<u32, portcullis_common::Settings>,
    record: portcullis_common::Settings,
}

impl Settings {
    /// Checks that the program is of our version, and gives it the settings of `options`.
    pub(super) fn open(program: &Ebpf, options: &AttachOptions) -> Result<Self, EnforcerError> {
        let map = Table::<u32, portcullis_common::Settings>::open(program, maps::SETTINGS)?;
        let record = map.get(&0)?.unwrap_or(portcullis_common::Settings::INITIAL);
        if record.abi_version != ABI_VERSION {
            return Err(EnforcerError::WrongAbi {
                found: record.abi_version,
                expected: ABI_VERSION,
            });
        }
        let mut settings = Self { map, record };
        let interval = options.event_interval.as_nanos();
        settings.record.event_interval_ns = u32::try_from(interval).unwrap_or(u32::MAX);
        settings.record.mode = mode_number(options.mode);
        settings.set_exempt_ports(&options.exempt_ports)?;
        Ok(settings)
    }

    pub(super) fn mode(&self) -> Mode {
        if self.record.mode == MODE_ENFORCE {
            Mode::Enforce
        } else {
            Mode::Monitor
        }
    }

    pub(super) fn set_mode(&mut self, mode: Mode) -> Result<(), EnforcerError> {
        self.record.mode = mode_number(mode);
        self.write()
    }

    pub(super) fn set_exempt_ports(&mut self, ports: &[u16]) -> Result<(), EnforcerError> {
        if ports.len() > MAX_EXEMPT_PORTS {
            return Err(EnforcerError::TooManyExemptPorts { given: ports.len() });
        }
        self.record.exempt_ports = [0; MAX_EXEMPT_PORTS];
        for (slot, port) in self.record.exempt_ports.iter_mut().zip(ports) {
            *slot = port.to_be();
        }
        self.write()
    }

    /// Makes the program look into a table.
    pub(super) fn use_table(&mut self, table: BanTable) -> Result<(), EnforcerError> {
        self.set_tables(self.record.tables | table.bit())
    }

    /// Spares the program the look at an empty table.
    pub(super) fn leave_table(&mut self, table: BanTable) -> Result<(), EnforcerError> {
        self.set_tables(self.record.tables & !table.bit())
    }

    fn set_tables(&mut self, tables: u32) -> Result<(), EnforcerError> {
        if self.record.tables == tables {
            return Ok(());
        }
        self.record.tables = tables;
        self.write()
    }

    fn write(&self) -> Result<(), EnforcerError> {
        self.map.set(&0, &self.record)
    }
}

const fn mode_number(mode: Mode) -> u32 {
    match mode {
        Mode::Monitor => MODE_MONITOR,
        Mode::Enforce => MODE_ENFORCE,
    }
}
