//! What a session is bound to: the networks and the browser that it is used from.
//!
//! A signature proves the key; the binding notices when the key's surroundings change. Neither is proof of theft: an
//! address changes with every train ride. So the [`ladder`] asks for as much as a change is worth, from nothing over a
//! fresh nonce, which the SDK fetches unseen, to re-authentication.
//!
//! # Why a change may pass without a fresh nonce
//!
//! The ladder lets some changes pass at once: a known network, a neighbouring address, the other address family once, a
//! newer version of the browser. No copy of a call passes by that. A nonce is spent in its session, wherever it comes
//! from, before the ladder is asked ([`Streams`](crate::session::nonce::Streams)), and a stream that the gate cannot know
//! is refused in every network. What a fresh nonce adds is the proof that the holder of the key signed *now* and *for
//! this network*: without it, somebody who stops a call on its way can be the first to send it, within `max_age`, from
//! where the ladder asks nothing. He who stops calls on their way sits in the session's own network and can send it from
//! there, which no binding sees. So nothing is lost in known networks and beside them; the other family is open to
//! this once for each session, until the client itself uses it; and everywhere else the fresh nonce is asked for.

mod agent;
pub mod ladder;
mod place;
mod stays;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

pub use ladder::{Ladder, Moved, Objection, Surroundings};

use self::place::Place;
use crate::fingerprint::Fingerprint;
use crate::head::Browser;
use crate::request::ClientAddress;

/// The surroundings of one request, as hashes. Whoever wants the same ones can send the same fields, so that they need not
/// be cryptographic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    place: Place,
    /// Of the User-Agent field.
    agent: u64,
    /// Of Accept-Language and the client hints.
    habits: u32,
    /// Of the TLS stack; zero where TLS ends elsewhere.
    tls: u32,
}

impl Binding {
    /// The surroundings of a request.
    #[must_use]
    pub fn of(client: ClientAddress, fingerprint: Option<Fingerprint>, headers: &HeaderMap) -> Self {
        Self::of_browser(client, fingerprint, &Browser::of(headers))
    }

    pub(crate) fn of_browser(client: ClientAddress, fingerprint: Option<Fingerprint>, browser: &Browser<'_>) -> Self {
        Self {
            place: Place::of(client.source()),
            agent: hash(browser.agent.unwrap_or_default()),
            habits: Habits::of(browser).combined,
            tls: fingerprint.map_or(0, |fingerprint| fingerprint.stable()),
        }
    }

    /// What a stream that the gate issues is good for, as bytes for a MAC: this network (/24 or /48) and User-Agent.
    #[must_use]
    pub fn digest(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.agent.to_be_bytes());
        bytes[8..].copy_from_slice(&self.place.network().to_bytes());
        bytes
    }
}

/// What a browser says of itself, in one number: User-Agent, languages, client hints and TLS handshake.
#[must_use]
pub fn fingerprint(tls: Option<Fingerprint>, headers: &HeaderMap) -> u64 {
    let browser = Browser::of(headers);
    let habits = u64::from(Habits::of(&browser).combined);
    let tls = u64::from(tls.map_or(0, |fingerprint| fingerprint.stable()));
    hash(browser.agent.unwrap_or_default()) ^ habits.rotate_left(16) ^ tls.rotate_left(40)
}

/// What a browser says of its user and itself beside the User-Agent. Zero: it says nothing, which is no evidence; client
/// hints exist only in secure contexts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Habits {
    /// Of all three.
    combined: u32,
    language: u32,
    /// `Sec-CH-UA`: names and versions of the browser.
    brands: u32,
    /// `Sec-CH-UA-Platform` and `Sec-CH-UA-Mobile`.
    device: u32,
}

impl Habits {
    fn of(browser: &Browser<'_>) -> Self {
        let language = short_hash(browser.language);
        let brands = short_hash(browser.brands);
        let device = short_hash(browser.platform) ^ short_hash(browser.mobile).rotate_left(1);
        Self {
            combined: language ^ brands.rotate_left(11) ^ device.rotate_left(22),
            language,
            brands,
            device,
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    SipHasher13::new().hash(bytes)
}

/// Zero for what is not there.
fn short_hash(bytes: Option<&[u8]>) -> u32 {
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
        return 0;
    };
    let [a, b, c, d, ..] = hash(bytes).to_be_bytes();
    u32::from_be_bytes([a, b, c, d]).max(1)
}

#[cfg(test)]
mod tests;
