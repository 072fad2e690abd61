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

impl Guard {
    /// Bans a source for a while whose packets were over the limits again and again. The shell has seen that somebody at
    /// this address completed a connection: packets alone may be forged.
    ///
    /// Not where other sessions call cleanly from there (the NAT guard), and not while the gate only watches; both are
    /// remembered. The effects end with the report.
    pub fn ban_flood(&self, client: ClientAddress, ttl: Duration, reference: Reference, now: Now) -> Vec<Effect> {
        let source = client.source();
        let thresholds = &self.policy.thresholds;
        let tally = self
            .sources
            .add(source, 0.0, None, thresholds.half_life, thresholds.nat_guard, now.mono);
        let (mut effects, waived, outcome) = if tally.has_clean_neighbour {
            (Vec::new(), true, format!("spared, others call cleanly from {source}"))
        } else if self.policy.mode == Mode::Monitor {
            (Vec::new(), true, format!("{source} would be banned"))
        } else {
            let order = BanOrder {
                network: source.network(),
                ttl,
                reason: "packets over the rate limits".into(),
                origin: Origin::Rate,
                source: None,
                reference: Some(reference),
                force: false,
            };
            match self.blacklist_mut().ban(order, now) {
                Ok(ban) => {
                    let effect = Effect::Ban(KernelBan::of(&ban, now));
                    (vec![effect], false, format!("{source} banned"))
                }
                Err(refused) => (Vec::new(), true, format!("not banned: {refused}")),
            }
        };
        let incident = Incident {
            reference,
            at: now.wall,
            refusal: Refusal::AddressBanned(ttl),
            client,
            session: None,
            method: String::new(),
            path: String::new(),
            rule: None,
            explanation: format!("packets over the rate limits again and again: {outcome}"),
            session_points: 0.0,
            address_points: 0.0,
            waived,
        };
        self.remember(incident.clone());
        effects.push(Effect::Report(incident));
        effects
    }
}
