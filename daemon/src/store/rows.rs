//! How things are written down: keys that sort like what they stand for, and values that say where they end.
//!
//! Integers are big-endian. A text is its length in two bytes, then UTF-8. A value that has anything else, or more, is
//! damaged: nothing is guessed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use portcullis_guard::blacklist::{Allowed, KeptClaim, Origin};
use portcullis_guard::request::{ClientAddress, Reference};
use portcullis_guard::session::{KeptSession, SessionId};
use portcullis_guard::time::WallMillis;

use super::Deed;

/// Bytes that are not what this module writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled;

type Read<T> = Result<T, Garbled>;

/// The longest text that is kept, in bytes.
const LONGEST_TEXT: usize = 4096;

/// Family, address, prefix length.
pub(super) fn network_key(network: IpNet) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    match network.addr() {
        IpAddr::V4(v4) => {
            key.push(4);
            key.extend(v4.octets());
        }
        IpAddr::V6(v6) => {
            key.push(6);
            key.extend(v6.octets());
        }
    }
    key.push(network.prefix_len());
    key
}

pub(super) fn network_of(key: &[u8]) -> Read<IpNet> {
    let mut reader = Reader(key);
    let address = reader.address()?;
    let network = IpNet::new(address, reader.byte()?).map_err(|_| Garbled)?;
    reader.end(network)
}

pub(super) fn session_of(key: &[u8]) -> Read<SessionId> {
    key.try_into().map(SessionId).map_err(|_| Garbled)
}

const ORIGINS: [(u8, Origin); 4] = [
    (1, Origin::Operator),
    (2, Origin::Score),
    (3, Origin::List),
    (4, Origin::Rate),
];

/// The claims to one network.
pub(super) fn claims(claims: &[KeptClaim]) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    for claim in claims {
        let origin = ORIGINS.iter().find(|(_, origin)| *origin == claim.origin);
        out.push(origin.map_or(0, |(code, _)| *code));
        out.extend(claim.since.to_be_bytes());
        out.extend(claim.until.to_be_bytes());
        put_option(&mut out, claim.reference, |out, reference| {
            out.extend(reference.0.to_be_bytes());
        });
        put_option(&mut out, claim.source.as_deref(), put_text);
        put_option(&mut out, claim.by.as_deref(), put_text);
        put_text(&mut out, &claim.reason);
    }
    out
}

/// Reads claims, and lets those with the same words as the one before share them.
#[derive(Debug, Default)]
pub(super) struct ClaimReader {
    last: Option<KeptClaim>,
}

impl ClaimReader {
    pub(super) fn read(&mut self, value: &[u8], mut claim: impl FnMut(KeptClaim)) -> Read<()> {
        let mut reader = Reader(value);
        while !reader.0.is_empty() {
            let read = self.one(&mut reader)?;
            claim(read.clone());
            self.last = Some(read);
        }
        Ok(())
    }

    fn one(&mut self, reader: &mut Reader<'_>) -> Read<KeptClaim> {
        let code = reader.byte()?;
        let origin = ORIGINS.iter().find(|(known, _)| *known == code).ok_or(Garbled)?.1;
        let (since, until) = (reader.u32()?, reader.u32()?);
        let reference = reader.option(Reader::u64)?.map(Reference);
        let source = reader.option(Reader::text)?;
        let by = reader.option(Reader::text)?;
        let reason = reader.text()?;
        let last = self.last.as_ref();
        let shared = |text: &str, before: Option<&Arc<str>>| match before {
            Some(before) if **before == *text => Arc::clone(before),
            Some(_) | None => Arc::from(text),
        };
        Ok(KeptClaim {
            origin,
            reason: shared(reason, last.map(|last| &last.reason)),
            source: source.map(|text| shared(text, last.and_then(|last| last.source.as_ref()))),
            by: by.map(|text| shared(text, last.and_then(|last| last.by.as_ref()))),
            reference,
            since,
            until,
        })
    }
}

/// An entry of the never-ban set that an operator made.
pub(super) fn allowed(entry: &Allowed) -> Vec<u8> {
    let mut out = Vec::new();
    put_option(&mut out, entry.since, put_moment);
    put_option(&mut out, entry.until, put_moment);
    put_option(&mut out, entry.by.as_deref(), put_text);
    put_text(&mut out, &entry.reason);
    out
}

pub(super) fn read_allowed(network: IpNet, value: &[u8]) -> Read<Allowed> {
    let mut reader = Reader(value);
    let entry = Allowed {
        network,
        fixed: false,
        since: reader.option(Reader::u64)?.map(WallMillis),
        until: reader.option(Reader::u64)?.map(WallMillis),
        by: reader.option(Reader::text)?.map(Arc::from),
        reason: reader.text()?.to_owned(),
    };
    reader.end(entry)
}

/// A session that was ended.
pub(super) fn session(kept: &KeptSession) -> Vec<u8> {
    let mut out = Vec::new();
    put_moment(&mut out, kept.opened);
    put_moment(&mut out, kept.expires);
    put_option(&mut out, kept.until, put_moment);
    put_address(&mut out, kept.client.ip());
    out.extend(kept.score.to_be_bytes());
    out.extend(kept.calls.to_be_bytes());
    put_text(&mut out, &kept.user_agent);
    put_option(&mut out, kept.user.as_deref(), put_text);
    out
}

pub(super) fn read_session(id: SessionId, value: &[u8]) -> Read<KeptSession> {
    let mut reader = Reader(value);
    let kept = KeptSession {
        id,
        opened: WallMillis(reader.u64()?),
        expires: WallMillis(reader.u64()?),
        until: reader.option(Reader::u64)?.map(WallMillis),
        client: ClientAddress::new(reader.address()?),
        score: f32::from_be_bytes(reader.bytes()?),
        calls: reader.u64()?,
        user_agent: reader.text()?.to_owned(),
        user: reader.option(Reader::text)?.map(str::to_owned),
    };
    reader.end(kept)
}

/// What an operator did.
pub(super) fn deed(deed: &Deed) -> Vec<u8> {
    let mut out = Vec::new();
    put_moment(&mut out, deed.at);
    out.extend(deed.uid.to_be_bytes());
    put_option(&mut out, deed.pid, |out, pid| out.extend(pid.to_be_bytes()));
    for text in [&deed.who, &deed.action, &deed.object, &deed.reason] {
        put_text(&mut out, text);
    }
    out
}

pub(super) fn read_deed(value: &[u8]) -> Read<Deed> {
    let mut reader = Reader(value);
    let deed = Deed {
        at: WallMillis(reader.u64()?),
        uid: reader.u32()?,
        pid: reader.option(|reader| Ok(i32::from_be_bytes(reader.bytes()?)))?,
        who: reader.text()?.to_owned(),
        action: reader.text()?.to_owned(),
        object: reader.text()?.to_owned(),
        reason: reader.text()?.to_owned(),
    };
    reader.end(deed)
}

fn put_moment(out: &mut Vec<u8>, moment: WallMillis) {
    out.extend(moment.0.to_be_bytes());
}

fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            out.push(4);
            out.extend(v4.octets());
        }
        IpAddr::V6(v6) => {
            out.push(6);
            out.extend(v6.octets());
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    out.extend(u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
    out.extend(text.as_bytes());
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

/// What is left of the bans of a network, and when.
pub(super) fn strikes(left: f32, at: WallMillis) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    out.extend(left.to_be_bytes());
    put_moment(&mut out, at);
    out
}

pub(super) fn read_strikes(value: &[u8]) -> Read<(f32, WallMillis)> {
    let mut reader = Reader(value);
    let left = f32::from_be_bytes(reader.bytes()?);
    let at = WallMillis(u64::from_be_bytes(reader.bytes()?));
    // Nothing else is ever written.
    if !(0.0..=1e9).contains(&left) {
        return Err(Garbled);
    }
    reader.end((left, at))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Garbled)?;
        self.0 = rest;
        Ok(head)
    }

    fn bytes<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Garbled)
    }

    fn byte(&mut self) -> Read<u8> {
        self.bytes().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Read<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Read<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Read<&'a str> {
        let length = self.bytes().map(u16::from_be_bytes)?;
        std::str::from_utf8(self.take(length.into())?).map_err(|_| Garbled)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            2.. => Err(Garbled),
        }
    }

    fn address(&mut self) -> Read<IpAddr> {
        match self.byte()? {
            4 => self.bytes().map(|octets: [u8; 4]| Ipv4Addr::from(octets).into()),
            6 => self.bytes().map(|octets: [u8; 16]| Ipv6Addr::from(octets).into()),
            _ => Err(Garbled),
        }
    }

    /// The value, if nothing is left.
    fn end<T>(&self, value: T) -> Read<T> {
        if self.0.is_empty() { Ok(value) } else { Err(Garbled) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(reason: &str) -> KeptClaim {
        KeptClaim {
            origin: Origin::List,
            reason: reason.into(),
            source: Some("drop".into()),
            by: None,
            reference: Some(Reference(9)),
            since: 1,
            until: 2,
        }
    }

    fn read(value: &[u8]) -> Read<Vec<KeptClaim>> {
        let mut claims = Vec::new();
        ClaimReader::default().read(value, |claim| claims.push(claim))?;
        Ok(claims)
    }

    #[test]
    fn what_is_written_is_read() {
        let two = [claim("ä"), claim("ä")];
        let back = read(&claims(&two)).unwrap();
        assert_eq!(back, two);
        assert!(Arc::ptr_eq(&back[0].reason, &back[1].reason), "words are shared");
        for text in ["0.0.0.0/0", "10.0.0.1/32", "2001:db8::/48"] {
            let network: IpNet = text.parse().unwrap();
            assert_eq!(network_of(&network_key(network)), Ok(network));
        }
        let entry = Allowed {
            fixed: false,
            until: Some(WallMillis(7)),
            ..Allowed::fixed("10.0.0.0/8".parse().unwrap(), "office")
        };
        assert_eq!(read_allowed(entry.network, &allowed(&entry)), Ok(entry));
    }

    #[test]
    fn keys_sort_like_networks() {
        let mut networks: Vec<IpNet> = ["10.0.0.0/8", "10.0.0.0/24", "9.0.0.0/8", "::/0", "255.0.0.0/8"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let mut keys: Vec<_> = networks.iter().map(|network| network_key(*network)).collect();
        networks.sort();
        keys.sort();
        let sorted: Vec<_> = keys.iter().map(|key| network_of(key).unwrap()).collect();
        assert_eq!(sorted, networks);
    }

    #[test]
    fn every_truncation_and_every_surplus_is_garbled() {
        let value = claims(&[claim("because")]);
        for length in 1..value.len() {
            assert_eq!(read(&value[..length]), Err(Garbled), "{length}");
        }
        let kept = KeptSession {
            id: SessionId([1; 12]),
            opened: WallMillis(1),
            expires: WallMillis(2),
            until: None,
            client: ClientAddress::new("10.0.0.1".parse().unwrap()),
            score: 1.5,
            calls: 3,
            user_agent: "curl".into(),
            user: Some("anna".into()),
        };
        let mut value = session(&kept);
        assert_eq!(read_session(kept.id, &value), Ok(kept.clone()));
        for length in 0..value.len() {
            assert_eq!(read_session(kept.id, &value[..length]), Err(Garbled));
        }
        value.push(0);
        assert_eq!(read_session(kept.id, &value), Err(Garbled));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = claim(&"ä".repeat(3000));
        assert_eq!(read(&claims(&[long])).unwrap()[0].reason.len(), LONGEST_TEXT);
    }
}
