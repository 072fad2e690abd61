//! The parser of the XDP program, as it stands, on frames that end where readable memory ends; held against another
//! library's reading. A read past the frame is a fault here, as the kernel's verifier is not there to forbid it.

#![no_main]

#[allow(dead_code, reason = "tests use the rest of it")]
#[path = "../../tests/src/dissect.rs"]
mod dissect;
#[path = "../packet/memory.rs"]
mod memory;
#[allow(dead_code, reason = "the program uses the rest of it")]
#[path = "../../ebpf/src/parse.rs"]
mod parse;

use std::net::IpAddr;

use dissect::{Dissected, IpPacket, Ports};
use libfuzzer_sys::fuzz_target;
use parse::{Frame, IPPROTO_TCP, Network, Transport};

fuzz_target!(|data: &[u8]| {
    let Some((start, end)) = memory::place_before_the_end(data) else {
        return;
    };
    // SAFETY: the frame was just put there, and nothing is until the next one.
    let frame = unsafe { Frame::between(start, end) };
    assert_eq!(read(&frame), dissect::dissect(data), "{data:02x?}");
});

/// What the program makes of a frame, in the words of the other library.
fn read(frame: &Frame) -> Dissected {
    match frame.network() {
        None => Dissected::Malformed,
        Some(Network::Other) => Dissected::NotIp,
        Some(Network::V4(packet)) => Dissected::Ip(IpPacket {
            source: IpAddr::from(packet.source()),
            destination: IpAddr::from(packet.destination()),
            ports: packet.transport().map(ports),
        }),
        Some(Network::V6(packet)) => Dissected::Ip(IpPacket {
            source: IpAddr::from(packet.source),
            destination: IpAddr::from(packet.destination()),
            ports: packet.transport().map(ports),
        }),
    }
}

fn ports(transport: Transport) -> Ports {
    // Must not fault, whatever it tells.
    let _ = transport.is_syn();
    Ports {
        is_tcp: transport.protocol == IPPROTO_TCP,
        source: u16::from_be(transport.source_port),
        destination: u16::from_be(transport.destination_port),
    }
}
