//! A guard with one session, and requests that it has not seen.

use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use nix::time::{ClockId, clock_gettime};
use portcullis_guard::guard::{Admission, Guard, Secrets};
use portcullis_guard::path::{NormalPath, PathPattern};
use portcullis_guard::policy::{Mode, Policy, SessionLimits};
use portcullis_guard::request::{ClientAddress, ConnectionId, Reference, Request};
use portcullis_guard::session::agreement::{Agreed, AgreementRequest, SessionEntropy};
use portcullis_guard::session::token::{MasterKey, MasterKeys, SigningKey};
use portcullis_guard::signature::base::{Message, signature_base};
use portcullis_guard::signature::mac_matches;
use portcullis_guard::signature::sign::{Signer, sign};
use portcullis_guard::time::{MonoMillis, Now, WallMillis};
use zeroize::Zeroizing;

pub(super) const PATH: &str = "/api/orders/7";
pub(super) const AUTHORITY: &str = "shop.example";
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";

pub(super) struct Fixture {
    pub(super) guard: Guard,
    pub(super) requests: Vec<HeaderMap>,
    pub(super) key: SigningKey,
    path: NormalPath,
}

/// An opened session.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) key: SigningKey,
}

impl Fixture {
    pub(super) fn new(count: u32, seed: u8) -> Result<Self> {
        let guard = guard(seed, SessionLimits::default())?;
        let session = open(&guard, [seed; 12], client(1), now())?;
        let requests = (0..count).map(|n| signed(&session, n, now())).collect::<Result<_>>()?;
        Ok(Self {
            guard,
            requests,
            key: session.key,
            path: NormalPath::parse(PATH)?,
        })
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.requests.len()).unwrap_or(u32::MAX)
    }

    /// Nanoseconds of one HMAC over a typical base.
    pub(super) fn bare_hmacs(&self) -> f64 {
        let mac = self.key.hmac();
        let base = signature_base(
            &message(&HeaderMap::new()),
            ["@method", "@authority", "@path", "@query"],
            &"p".repeat(250),
        );
        let base = base.unwrap_or_default();
        per_item(self.count(), || {
            for _ in 0..self.count() {
                std::hint::black_box(mac_matches(&mac, std::hint::black_box(&base), &[0; 32]));
            }
        })
    }

    /// Nanoseconds from the parsed head to the permit.
    pub(super) fn verifications(&self) -> Result<f64> {
        self.each(|headers| passes(&self.guard, headers, &self.path, client(1), now()))
    }

    /// Nanoseconds of `act` for each request; it says whether the request was good. The requests are as warm in the
    /// cache as those that were parsed just now.
    pub(super) fn each(&self, mut act: impl FnMut(&HeaderMap) -> bool) -> Result<f64> {
        const PORTION: usize = 100;
        let (mut nanos, mut good) = (0.0, 0);
        for portion in self.requests.chunks(PORTION) {
            let warm: Vec<HeaderMap> = portion.iter().map(copied).collect();
            let count = u32::try_from(portion.len())?;
            nanos += f64::from(count) * per_item(count, || good += warm.iter().filter(|headers| act(headers)).count());
        }
        ensure!(
            good == self.requests.len(),
            "{good} of {} were good",
            self.requests.len()
        );
        Ok(nanos / f64::from(self.count()))
    }
}

/// A copy down to the bytes.
fn copied(headers: &HeaderMap) -> HeaderMap {
    let copy = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.clone(), HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    headers.iter().filter_map(copy).collect()
}

pub(super) fn guard(seed: u8, sessions: SessionLimits) -> Result<Guard> {
    let policy = Policy {
        mode: Mode::Enforce,
        protected: vec![PathPattern::parse("/api/**")?],
        sessions,
        ..Policy::default()
    };
    let secrets = Secrets {
        master: MasterKeys::new(MasterKey::new(1, &Zeroizing::new([seed; 32])), vec![]),
        run: Zeroizing::new([seed; 32]),
    };
    Ok(Guard::new(policy, secrets, 1000))
}

pub(super) fn open(guard: &Guard, id: [u8; 12], client: ClientAddress, now: Now) -> Result<Session> {
    let entropy = SessionEntropy {
        id,
        secret: Zeroizing::new([id[11]; 32]),
        salt: [0; 32],
    };
    let opened = guard.open_session(&AgreementRequest::ServerKey, &entropy, client, now);
    let opened = opened.map_err(|refusal| anyhow!("{refusal:?}"))?;
    let Agreed::ServerKey(key) = opened.agreed else {
        bail!("asked for a server key")
    };
    Ok(Session {
        id: opened.session_id,
        key,
    })
}

pub(super) fn passes(guard: &Guard, headers: &HeaderMap, path: &NormalPath, client: ClientAddress, now: Now) -> bool {
    let request = Request {
        method: &Method::GET,
        operation: &Method::GET,
        authority: AUTHORITY,
        raw_path: PATH,
        query: None,
        ticket: None,
        path,
        headers,
        has_body: false,
        client,
        fingerprint: None,
        trusted: false,
        connection: ConnectionId(1),
        reference: Reference(1),
    };
    match guard.judge_head(&request, now).outcome {
        Ok(Admission::Bound(bound)) => guard.admit(bound, &request, None, now).outcome.is_ok(),
        Ok(Admission::Forward(_)) | Err(_) => false,
    }
}

pub(super) fn message(headers: &HeaderMap) -> Message<'_> {
    Message {
        method: &Method::GET,
        authority: AUTHORITY,
        path: PATH,
        query: None,
        headers,
    }
}

/// What Firefox sends with a call.
pub(super) fn signed(session: &Session, counter: u32, now: Now) -> Result<HeaderMap> {
    let nonce = format!("q1Zx8Rk0pA2m.{counter}");
    let signer = Signer {
        session_id: &session.id,
        key: &session.key,
        created: now.wall.seconds(),
        nonce: &nonce,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", AUTHORITY),
        ("user-agent", USER_AGENT),
        ("accept", "application/json"),
        ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-dest", "empty"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    sign(&signer, message(&headers), b"").map_err(|refusal| anyhow!("{refusal:?}"))
}

pub(super) fn now() -> Now {
    Now {
        wall: WallMillis(1_800_000_000_000),
        mono: MonoMillis(1_000_000),
    }
}

/// One of 16 million clients.
pub(super) fn client(number: u32) -> ClientAddress {
    let [_, a, b, c] = number.to_be_bytes();
    ClientAddress::new(std::net::IpAddr::from([10, a, b, c]))
}

/// CPU nanoseconds of this thread for each of `count` items.
pub(super) fn per_item(count: u32, work: impl FnOnce()) -> f64 {
    let before = thread_nanos();
    work();
    (thread_nanos() - before) / f64::from(count)
}

fn thread_nanos() -> f64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0.0, |time| Duration::from(time).as_secs_f64() * 1e9)
}
