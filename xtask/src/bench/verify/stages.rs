//! The parts of a verification, each alone over the same requests. What they leave of `guard/verify` is the rest: bans,
//! protected paths, the tables and their locks, rules, bookkeeping.

use std::hint::black_box;

use anyhow::{Result, anyhow, ensure};
use portcullis_guard::binding::{Binding, Ladder, Surroundings};
use portcullis_guard::policy::{BindingPolicy, Freshness};
use portcullis_guard::session::SessionId;
use portcullis_guard::session::nonce::{Nonce, StreamIssuer, Streams};
use portcullis_guard::session::token;
use portcullis_guard::signature::base::signature_base;
use portcullis_guard::signature::input::Fields;
use portcullis_guard::signature::mac::MacKey;
use zeroize::Zeroizing;

use super::HMAC;
use super::fixture::{Fixture, client, message, now, per_item};
use crate::bench::report::{Rounds, Row};

#[derive(Default)]
pub(super) struct Rows {
    parse: Rounds,
    base: Rounds,
    mac: Rounds,
    replay: Rounds,
    binding: Rounds,
}

impl Rows {
    pub(super) fn measure(&mut self, fixture: &Fixture) -> Result<()> {
        self.parse.push(parse(fixture)?);
        let (base, mac) = base_and_mac(fixture)?;
        self.base.push(base);
        self.mac.push(mac);
        self.replay.push(replay(fixture)?);
        self.binding.push(binding(fixture)?);
        Ok(())
    }

    pub(super) fn rows(&self, floor: &Rounds) -> Vec<Row> {
        let row = |name, rounds| Row::new(name, "ns", rounds).versus(HMAC, floor, None);
        vec![
            row("stage/parse", &self.parse),
            row("stage/base", &self.base),
            row("stage/mac", &self.mac),
            row("stage/replay", &self.replay),
            row("stage/binding", &self.binding),
        ]
    }
}

/// The fields, and all that is asked of them alone.
fn parse(fixture: &Fixture) -> Result<f64> {
    let freshness = Freshness::default();
    fixture.each(|headers| {
        let Ok(fields) = Fields::of(headers) else { return false };
        let Ok(presented) = fields.present() else { return false };
        let is_whole = presented.check_coverage(headers, false).is_ok()
            && presented.check_freshness(&freshness, now().wall).is_ok()
            && Nonce::parse(&presented.nonce).is_ok()
            && token::name_of(&presented.keyid).is_ok();
        black_box(is_whole)
    })
}

fn base_and_mac(fixture: &Fixture) -> Result<(f64, f64)> {
    let key = MacKey::new(&fixture.key);
    // In portions that stay in the cache, as one request does.
    let (mut base, mut mac, mut right) = (0.0, 0.0, 0);
    for portion in fixture.requests.chunks(100) {
        let count = u32::try_from(portion.len())?;
        let fields: Vec<_> = portion.iter().filter_map(|headers| Fields::of(headers).ok()).collect();
        let presented: Vec<_> = fields.iter().filter_map(|fields| fields.present().ok()).collect();
        let mut bases = Vec::with_capacity(portion.len());
        base += f64::from(count)
            * per_item(count, || {
                for (headers, presented) in portion.iter().zip(&presented) {
                    bases.extend(signature_base(
                        &message(headers),
                        presented.components.iter(),
                        &presented.parameters,
                    ));
                }
            });
        mac += f64::from(count)
            * per_item(count, || {
                let all = bases.iter().zip(&presented);
                right += all
                    .filter(|(base, presented)| key.matches(base, presented.signature.as_slice()))
                    .count();
            });
    }
    ensure!(right == fixture.requests.len(), "{right} were right");
    Ok((base / f64::from(fixture.count()), mac / f64::from(fixture.count())))
}

fn replay(fixture: &Fixture) -> Result<f64> {
    let issuer = StreamIssuer::new(&Zeroizing::new([1; 32]), Freshness::default().max_age);
    let headers = &fixture.requests[0];
    let seen = Binding::of(client(1), None, headers);
    let texts: Vec<String> = (0..fixture.count())
        .map(|counter| format!("q1Zx8Rk0pA2m.{counter}"))
        .collect();
    let nonces: Vec<_> = texts.iter().filter_map(|text| Nonce::parse(text).ok()).collect();
    let mut streams = Streams::complete();
    let mut accepted = 0;
    let each = per_item(fixture.count(), || {
        for nonce in &nonces {
            let outcome = streams.accept(*nonce, &issuer, SessionId([1; 12]), &seen, now());
            accepted += u32::from(black_box(outcome).is_ok());
        }
    });
    ensure!(accepted == fixture.count(), "{accepted} were accepted");
    Ok(each)
}

fn binding(fixture: &Fixture) -> Result<f64> {
    let ladder = Ladder {
        address: BindingPolicy::Ladder,
        user_agent: BindingPolicy::Ladder,
        per_hour: 12,
    };
    let first = fixture.requests.first().ok_or_else(|| anyhow!("no requests"))?;
    let mut surroundings = Surroundings::new(&Binding::of(client(1), None, first), first, now().mono);
    fixture.each(|headers| {
        let seen = Binding::of(client(1), None, headers);
        let moved = surroundings.follow(&seen, headers, &ladder, false, now().mono);
        black_box(moved).is_ok()
    })
}
