//! Certificates and keys from files: chosen by name, replaced, refused.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// Files that a test writes.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    fn named(&self, name: &str) -> CertificateFiles {
        CertificateFiles {
            chain: self.directory.path().join(format!("{name}.pem")),
            key: self.directory.path().join(format!("{name}.key")),
        }
    }

    fn write(&self, name: &str, hosts: &[&str], years: (i32, i32)) -> CertificateFiles {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let files = self.named(name);
        fs::write(&files.chain, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

const VALID: (i32, i32) = (2020, 2090);

fn tls(certificates: Vec<CertificateFiles>) -> Tls {
    Tls {
        certificates,
        oldest: TlsVersion::Tls12,
    }
}

fn said(tls: &Tls) -> Vec<String> {
    check(tls).iter().map(ToString::to_string).collect()
}

fn served(certificates: &Certificates, name: Option<&str>) -> usize {
    let key = certificates.choice.read().unwrap().of(name).unwrap();
    let kept = certificates.kept.lock().unwrap();
    let (index, _) = kept
        .iter()
        .find(|(_, kept)| Arc::ptr_eq(&kept.certificate.key, &key))
        .unwrap();
    *index
}

#[test]
fn the_name_decides_and_the_first_is_for_the_rest() {
    let files = Files::new();
    let certificates = Certificates::open(&[
        files.write("a", &["shop.example"], VALID),
        files.write("b", &["*.shop.example", "api.example"], VALID),
        files.write("c", &["api.example", "www.shop.example"], VALID),
    ])
    .unwrap();
    for (name, expected) in [
        (None, 0),
        (Some("shop.example"), 0),
        (Some("SHOP.example."), 0),
        (Some("cdn.shop.example"), 1),
        (Some("a.b.shop.example"), 0),
        (Some("api.example"), 1),
        (Some("www.shop.example"), 2),
        (Some("other.example"), 0),
    ] {
        assert_eq!(served(&certificates, name), expected, "{name:?}");
    }
}

#[test]
fn everything_wrong_with_files_is_named() {
    let files = Files::new();
    let path = |file: &Path| file.display().to_string();
    let good = files.write("good", &["a.example"], VALID);
    assert!(said(&tls(vec![good.clone()])).is_empty());
    let missing = files.named("missing");
    let old = files.write("old", &["a.example"], (2000, 2001));
    let young = files.write("young", &["a.example"], (2080, 2090));
    let mixed = CertificateFiles {
        key: old.key.clone(),
        ..good.clone()
    };
    let swapped = CertificateFiles {
        chain: good.key.clone(),
        key: good.chain.clone(),
    };
    let garbage = files.named("garbage");
    fs::write(
        &garbage.chain,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let keyless = CertificateFiles {
        key: good.chain.clone(),
        ..good.clone()
    };
    let said = said(&tls(vec![
        missing.clone(),
        old.clone(),
        young,
        mixed,
        swapped,
        garbage.clone(),
        keyless,
    ]));
    assert_eq!(said.len(), 7, "{said:?}");
    assert!(
        said[0].starts_with(&format!("{} cannot be read: ", path(&missing.chain))),
        "{}",
        said[0]
    );
    assert!(said[1].contains("expired on Jan  1 00:00:00 2001"), "{}", said[1]);
    assert!(
        said[2].contains("is not valid before Jan  1 00:00:00 2080"),
        "{}",
        said[2]
    );
    assert!(
        said[3].starts_with(&format!("the key in {} is not the one of", path(&old.key))),
        "{}",
        said[3]
    );
    assert!(said[4].ends_with("holds no certificate in PEM form"), "{}", said[4]);
    assert!(
        said[5].ends_with("garbage.pem holds no certificate in PEM form"),
        "{}",
        said[5]
    );
    assert!(said[6].contains("holds no private key"), "{}", said[6]);
}

#[test]
fn new_files_are_taken_and_bad_ones_leave_the_old_in_use() {
    let files = Files::new();
    let place = files.write("a", &["old.example"], VALID);
    let terminator = Terminator::open(&tls(vec![place.clone()]), true).unwrap();
    let names = || {
        let kept = terminator.certificates.kept.lock().unwrap();
        kept[&0].certificate.names.clone()
    };
    assert!(terminator.refresh(false).taken.is_empty(), "nothing changed");
    files.write("a", &["new.example"], VALID);
    assert_eq!(terminator.refresh(false).taken, std::slice::from_ref(&place.chain));
    assert_eq!(names(), ["new.example"]);
    let expired = files.write("a", &["newest.example"], (2000, 2001));
    assert_eq!(terminator.refresh(false).refused.len(), 1);
    assert!(terminator.refresh(false).refused.is_empty(), "told once");
    fs::remove_file(&expired.key).unwrap();
    assert_eq!(terminator.refresh(false).refused.len(), 1);
    assert_eq!(names(), ["new.example"]);
    files.write("a", &["back.example"], VALID);
    assert_eq!(terminator.refresh(false).taken.len(), 1);
    assert_eq!(names(), ["back.example"]);
}

#[test]
fn an_expired_certificate_does_not_keep_the_daemon_from_starting() {
    let files = Files::new();
    let old = files.write("old", &["a.example"], (2000, 2001));
    assert!(Terminator::open(&tls(vec![old]), false).is_ok());
    assert!(Terminator::open(&tls(vec![files.named("missing")]), false).is_err());
}
