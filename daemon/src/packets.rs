//! From the configuration to what the packet layer is told.

use anyhow::{Context, Result};

use crate::config::{self, Config};
use crate::enforcer::{AttachOptions, Capacities, Enforcer, Rate, RateLimits, SynFlood, room_for};
use crate::gate::kernel_mode;
use crate::helper;

/// Attaches the packet layer that a configuration wants, if it wants one. Its tables have room for the bans that are
/// stored: growing while they are filled takes as long as filling them.
///
/// # Errors
/// What the kernel refuses.
pub fn attach(config: &Config, stored: u64) -> Result<Option<Enforcer>> {
    let packet = &config.packet;
    if packet.interfaces.is_empty() {
        tracing::warn!("packet.interfaces is empty: bans are enforced in HTTP only");
        return Ok(None);
    }
    let mut options = options(config);
    options.capacities.hosts = room_for(stored, packet.max_bans, packet.max_bans_limit);
    let enforcer = Enforcer::attach_apart(&options, helper::command(&config.log));
    let enforcer = enforcer.context("failed to attach the packet layer")?;
    for interface in enforcer.interfaces() {
        tracing::info!(interface = interface.name, mode = %interface.attach_mode, "attached");
    }
    Ok(Some(enforcer))
}

/// What a configuration says of it.
#[must_use]
pub fn options(config: &Config) -> AttachOptions {
    let packet = &config.packet;
    AttachOptions {
        interfaces: packet.interfaces.clone(),
        attach_mode: packet.attach,
        mode: kernel_mode(config.mode),
        exempt_ports: packet.exempt_ports.clone(),
        debug: packet.debug,
        pins: packet.pins.clone(),
        rate_limits: rate_limits(packet),
        syn_flood: syn_flood(config),
        drop_malformed: packet.drop_malformed,
        monitored: packet.monitor.clone(),
        capacities: Capacities {
            hosts: packet.max_bans,
            hosts_limit: packet.max_bans_limit,
            prefixes: packet.max_bans_limit.max(packet.max_bans),
            ..Capacities::default()
        },
        ..AttachOptions::default()
    }
}

/// A source may send a second's worth at once.
fn rate_limits(packet: &config::Packet) -> Option<RateLimits> {
    let rate = |per_second: Option<u64>| {
        per_second.map(|per_second| Rate {
            per_second,
            burst: per_second,
        })
    };
    let limits = RateLimits {
        packets: rate(packet.packets_per_second),
        bytes: rate(packet.bytes_per_second),
        syns: rate(packet.syns_per_second),
        strikes: packet.rate_strikes,
    };
    (limits.packets.is_some() || limits.bytes.is_some() || limits.syns.is_some()).then_some(limits)
}

/// Guards the ports that the daemon itself listens on.
fn syn_flood(config: &Config) -> Option<SynFlood> {
    let per_second = config.packet.syn_flood_per_second?;
    let mut ports = config.http.ports();
    ports.sort_unstable();
    ports.dedup();
    let burst = per_second;
    Some(SynFlood {
        limit: Rate { per_second, burst },
        ports,
    })
}
