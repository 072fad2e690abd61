//! The frames of the rows, and whom they come from.

use std::net::IpAddr;

pub(super) const CLEAN_ADDRESS: [u8; 4] = [203, 0, 113, 7];
pub(super) const US: [u8; 4] = [192, 0, 2, 1];

/// The banned host of that number.
pub(super) fn v4_host(number: u32) -> IpAddr {
    let [_, b, c, d] = number.to_be_bytes();
    IpAddr::from([10 + (number >> 24) as u8, b, c, d])
}

pub(super) fn octets(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(_) => [0; 4],
    }
}

pub(super) fn v6_host(number: u32) -> IpAddr {
    IpAddr::from(v6_octets(number))
}

fn v6_octets(number: u32) -> [u8; 16] {
    let [a, b, c, d] = number.to_be_bytes();
    [0x20, 0x01, 0x0d, 0xb8, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 7]
}

/// A TCP segment of 64 bytes, from port 10007 to port 443.
pub(super) fn v4(source: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0; 64];
    frame[12] = 0x08;
    frame[14] = 0x45;
    frame[23] = 6;
    frame[26..30].copy_from_slice(&source);
    frame[30..34].copy_from_slice(&US);
    frame[34..38].copy_from_slice(&[0x27, 0x17, 0x01, 0xbb]);
    frame
}

pub(super) fn v6(number: u32) -> Vec<u8> {
    let mut frame = vec![0; 78];
    frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
    frame[20] = 6;
    frame[22..38].copy_from_slice(&v6_octets(number));
    frame[54..58].copy_from_slice(&[0x27, 0x17, 0x01, 0xbb]);
    frame
}

pub(super) fn tagged(frame: &[u8], tags: usize) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    tagged.extend([0x81, 0x00, 0x00, 0x2a].repeat(tags));
    tagged.extend(&frame[12..]);
    tagged
}
