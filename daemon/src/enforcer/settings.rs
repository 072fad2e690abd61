//! The settings of the running program.

use portcullis_common::{
    ABI_VERSION, Geometry, Limit, Limits, MALFORMED_DROP, MALFORMED_PASS, MAX_EXEMPT_PORTS, MAX_FLOOD_PORTS,
    MODE_ENFORCE, MODE_MONITOR, Origin, Settings as Record, SynFlood as FloodRecord, maps,
};

use super::{
    AttachOptions, EnforcerError, Mode, Rate, RateLimits, SynFlood,
    table::{Source, Table},
};

/// The settings, and a copy of them.
pub(super) struct Settings {
    map: Table<u32, Record>,
    record: Record,
}

impl Settings {
    /// Gives a program that was just loaded the settings of `options`.
    pub(super) fn open(
        program: &Source<'_>,
        options: &AttachOptions,
        geometry: &Geometry,
    ) -> Result<Self, EnforcerError> {
        let settings = Self {
            map: Table::<u32, Record>::open(program, maps::SETTINGS)?,
            record: record(options, geometry)?,
        };
        settings.write()?;
        Ok(settings)
    }

    /// Gives the running program the settings of `options`; the size of the tables stays.
    pub(super) fn configure(&mut self, options: &AttachOptions) -> Result<(), EnforcerError> {
        let record = record(options, &self.record.geometry)?;
        self.map.set(&0, &record)?;
        self.record = record;
        Ok(())
    }

    /// The settings that a running program has.
    pub(super) fn adopt(program: &Source<'_>) -> Result<Self, EnforcerError> {
        let map = Table::<u32, Record>::open(program, maps::SETTINGS)?;
        let record = map.get(&0)?.ok_or_else(|| EnforcerError::BadObject {
            reason: "its settings are empty".to_owned(),
        })?;
        Ok(Self { map, record })
    }

    /// The size of the tables.
    pub(super) const fn geometry(&self) -> &Geometry {
        &self.record.geometry
    }

    /// Gives a program on other tables the settings that hold.
    pub(super) fn moved_to(&self, program: &Source<'_>, geometry: &Geometry) -> Result<Self, EnforcerError> {
        let moved = Self {
            map: Table::open(program, maps::SETTINGS)?,
            record: Record {
                geometry: *geometry,
                ..self.record
            },
        };
        moved.write()?;
        Ok(moved)
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

    pub(super) fn set_origin_mode(&mut self, origin: Origin, mode: Mode) -> Result<(), EnforcerError> {
        match mode {
            Mode::Monitor => self.record.monitored_origins |= bit(origin),
            Mode::Enforce => self.record.monitored_origins &= !bit(origin),
        }
        self.write()
    }

    /// Origins whose bans are only counted.
    pub(super) fn monitored(&self) -> Vec<Origin> {
        let is_monitored = |origin: &Origin| self.record.monitored_origins & bit(*origin) != 0;
        Origin::ALL.into_iter().filter(is_monitored).collect()
    }

    pub(super) fn set_exempt_ports(&mut self, ports: &[u16]) -> Result<(), EnforcerError> {
        self.record.exempt_ports = exempt(ports)?;
        self.write()
    }

    fn write(&self) -> Result<(), EnforcerError> {
        self.map.set(&0, &self.record)
    }
}

fn record(options: &AttachOptions, geometry: &Geometry) -> Result<Record, EnforcerError> {
    let interval = options.event_interval.as_nanos();
    let limits = options.rate_limits.unwrap_or_default();
    Ok(Record {
        abi_version: ABI_VERSION,
        geometry: *geometry,
        event_interval_ns: u32::try_from(interval).unwrap_or(u32::MAX),
        mode: mode_number(options.mode),
        limits: limits_of(&limits),
        strikes: limits.strikes.map_or(0, u64::from),
        syn_flood: options.syn_flood.as_ref().map_or(Ok(FloodRecord::default()), flood)?,
        malformed: if options.drop_malformed {
            MALFORMED_DROP
        } else {
            MALFORMED_PASS
        },
        monitored_origins: options.monitored.iter().fold(0, |bits, origin| bits | bit(*origin)),
        exempt_ports: exempt(&options.exempt_ports)?,
        ..Record::INITIAL
    })
}

fn exempt(ports: &[u16]) -> Result<[u16; MAX_EXEMPT_PORTS], EnforcerError> {
    let given = ports.len();
    if given > MAX_EXEMPT_PORTS {
        return Err(EnforcerError::TooManyExemptPorts { given });
    }
    let mut exempt = [0; MAX_EXEMPT_PORTS];
    for (slot, port) in exempt.iter_mut().zip(ports) {
        *slot = port.to_be();
    }
    Ok(exempt)
}

const fn bit(origin: Origin) -> u32 {
    1 << origin as u32
}

fn flood(flood: &SynFlood) -> Result<FloodRecord, EnforcerError> {
    let given = flood.ports.len();
    if given > MAX_FLOOD_PORTS {
        return Err(EnforcerError::TooManyFloodPorts { given });
    }
    let mut ports = [0; MAX_FLOOD_PORTS];
    for (slot, port) in ports.iter_mut().zip(&flood.ports) {
        *slot = port.to_be();
    }
    let limit = limit(Some(flood.limit));
    Ok(FloodRecord { limit, ports })
}

const fn mode_number(mode: Mode) -> u32 {
    match mode {
        Mode::Monitor => MODE_MONITOR,
        Mode::Enforce => MODE_ENFORCE,
    }
}

fn limits_of(limits: &RateLimits) -> Limits {
    Limits {
        packets: limit(limits.packets),
        bytes: limit(limits.bytes),
        syns: limit(limits.syns),
    }
}

/// What each unit takes of the budget, in 1/1024 ns.
fn limit(rate: Option<Rate>) -> Limit {
    const SECOND: u128 = 1_000_000_000;
    let Some(Rate { per_second, burst }) = rate else {
        return Limit::default();
    };
    let per_second = u128::from(per_second.max(1));
    let clamp = |value: u128| u64::try_from(value).unwrap_or(u64::MAX >> 1);
    Limit {
        cost: clamp((SECOND << 10) / per_second).max(1),
        burst_ns: clamp(u128::from(burst) * SECOND / per_second),
    }
}
