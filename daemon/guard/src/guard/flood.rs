//! Sources that send more packets than the card lets through, again and again.

use std::time::Duration;

use super::Guard;
use crate::blacklist::{BanOrder, Origin};
use crate::effect::{Effect, KernelBan};
use crate::incident::Incident;
use crate::policy::Mode;
use crate::refusal::Refusal;
use crate::request::{ClientAddress, Reference};
use crate::time::Now;
use crate::verdict::{Consequence, Mood, Spared};

impl Guard {
    /// Bans a source for a while whose packets were over the limits again and again. The shell has seen that somebody at
    /// this address completed a connection: packets alone may be forged.
    ///
    /// Not where other sessions call cleanly from there (the NAT guard), and not while the gate only watches; both are
    /// remembered. The effects end with the report.
    pub fn ban_flood(&self, client: ClientAddress, ttl: Duration, reference: Reference, now: Now) -> Vec<Effect> {
        let (source, mode) = (client.source(), self.enforcement.mode());
        let guard = self.policy.thresholds.nat_guard;
        let (mut effects, mood) = match mode {
            Mode::Enforce => (Vec::new(), Mood::Did),
            Mode::Monitor => (Vec::new(), Mood::Would),
        };
        let network = source.network();
        let consequence = if self.sources.has_clean_neighbour(source, None, guard, now.mono) {
            Consequence::Spared(network, Spared::Neighbours)
        } else {
            let order = BanOrder {
                network,
                ttl,
                reason: "packets over the rate limits".into(),
                origin: Origin::Rate,
                source: None,
                by: None,
                reference: Some(reference),
                force: false,
            };
            match self.put_ban(order, mode, now) {
                Ok(ban) => {
                    if mode == Mode::Enforce {
                        effects.push(Effect::Ban(KernelBan::of(&ban, now)));
                    }
                    Consequence::Banned(network, ttl)
                }
                Err(refused) => Consequence::Spared(network, Spared::Refused(refused.to_string())),
            }
        };
        let outcome = consequence.told(mood);
        let incident = Incident {
            reference,
            at: now.wall,
            refusal: Refusal::AddressBanned(ttl),
            client,
            fingerprint: None,
            session: None,
            method: String::new(),
            path: String::new(),
            rule: None,
            explanation: format!("packets over the rate limits again and again: {outcome}"),
            session_points: 0.0,
            address_points: 0.0,
            waived: effects.is_empty(),
            consequences: vec![consequence],
            mood,
        };
        self.remember(incident.clone());
        effects.push(Effect::Report(incident));
        effects
    }
}
