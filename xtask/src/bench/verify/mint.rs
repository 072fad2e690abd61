//! Opening sessions.

use anyhow::{Result, anyhow};
use portcullis::random;
use portcullis_guard::guard::Guard;
use portcullis_guard::policy::SessionLimits;
use portcullis_guard::session::agreement::AgreementRequest;

use super::fixture::{client, guard, now, per_item};
use super::{Effort, MINT_NANOS};
use crate::bench::report::{Rounds, Row};

pub(super) fn rows(effort: &Effort) -> Result<Vec<Row>> {
    let guard = guard(1, SessionLimits::default())?;
    let (mut server_key, mut ecdh) = (Rounds::default(), Rounds::default());
    // Any point of the curve will do: the generator (SEC 2 section 2.4.2).
    let point = [
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ];
    let ecdh_request = AgreementRequest::EcdhP256(bytes(&point.concat())?);
    for _ in 0..effort.rounds {
        server_key.push(mints(&guard, &AgreementRequest::ServerKey, effort.mints)?);
        ecdh.push(mints(&guard, &ecdh_request, effort.mints / 20)?);
    }
    Ok(vec![
        Row::new("mint/server-key", "ns", &server_key).at_most(MINT_NANOS),
        Row::new("mint/ecdh-p256", "ns", &ecdh),
    ])
}

/// Nanoseconds for each session, the kernel's randomness included.
fn mints(guard: &Guard, request: &AgreementRequest, count: u32) -> Result<f64> {
    let mut opened = 0;
    let each = per_item(count, || {
        for number in 0..count {
            let Ok(entropy) = random::session_entropy() else {
                continue;
            };
            opened += u32::from(guard.open_session(request, &entropy, client(number), now()).is_ok());
        }
    });
    if opened == count {
        Ok(each)
    } else {
        Err(anyhow!("{opened} of {count} sessions were opened"))
    }
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let digits = (0..hex.len()).step_by(2);
    digits.map(|at| Ok(u8::from_str_radix(&hex[at..at + 2], 16)?)).collect()
}
