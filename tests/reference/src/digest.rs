//! `Content-Digest` (RFC 9530), by the rules of docs/protocol.md section 2.

use http::HeaderMap;
use sha2::{Digest, Sha256, Sha512};

use super::fields::{self, Bare, Member};

/// Whether a body is what the field says, in every algorithm of it that we know and in one at least.
#[must_use]
pub fn is_right(headers: &HeaderMap, body: &[u8]) -> bool {
    let lines: Vec<_> = headers.get_all("content-digest").iter().collect();
    let [line] = lines[..] else { return false };
    let Some(members) = fields::dictionary(line.as_bytes()) else {
        return false;
    };
    let mut names: Vec<&String> = members.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let known: Vec<bool> = members
        .iter()
        .filter_map(|(name, member)| match name.as_str() {
            "sha-256" => Some(holds(member, &Sha256::digest(body))),
            "sha-512" => Some(holds(member, &Sha512::digest(body))),
            _ => None,
        })
        .collect();
    names.len() == members.len() && members.len() <= 16 && !known.is_empty() && known.iter().all(|right| *right)
}

fn holds(member: &Member, digest: &[u8]) -> bool {
    match member {
        Member::Item(Bare::Bytes(bytes), _) => bytes == digest,
        Member::Item(..) | Member::List(..) => false,
    }
}
