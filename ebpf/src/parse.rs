//! The only packet reads: each behind the one bounds check of [`Cursor::take`].
//!
//! Knows memory and nothing of the kernel, so that a fuzz target runs it as it stands.

use portcullis_common::Address;

const ETHERTYPE_IPV4: u16 = 0x0800_u16.to_be();
const ETHERTYPE_IPV6: u16 = 0x86dd_u16.to_be();
const ETHERTYPE_8021Q: u16 = 0x8100_u16.to_be();
const ETHERTYPE_8021AD: u16 = 0x88a8_u16.to_be();

pub(crate) const IPPROTO_TCP: u8 = 6;
pub(crate) const IPPROTO_UDP: u8 = 17;
const TCP_SYN: u8 = 0x02;
const TCP_ACK: u8 = 0x10;
const IPPROTO_HOPOPTS: u8 = 0;
const IPPROTO_ROUTING: u8 = 43;
const IPPROTO_FRAGMENT: u8 = 44;
const IPPROTO_AH: u8 = 51;
const IPPROTO_DSTOPTS: u8 = 60;

/// 802.1Q and 802.1ad: an outer and an inner tag.
const MAX_VLAN_TAGS: usize = 2;
/// The ports of a packet with more extension headers than this are not looked for.
const MAX_EXTENSION_HEADERS: usize = 5;
/// The fragment offset of IPv4: all but the three flags.
const IPV4_OFFSET_MASK: u16 = 0x1fff_u16.to_be();
/// The fragment offset of IPv6: all but two reserved bits and the flag.
const IPV6_OFFSET_MASK: u16 = 0xfff8_u16.to_be();

/// A frame as it lies in memory.
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

/// The network header of a frame.
pub(crate) enum Network {
    V4(Ipv4),
    V6(Ipv6),
    /// Not IP, or under more tags than we look through.
    Other,
}

/// An IPv4 packet, its fixed header read.
pub(crate) struct Ipv4 {
    header: *const Ipv4Header,
    options: Cursor,
}

/// An IPv6 packet, its fixed header read.
pub(crate) struct Ipv6 {
    pub(crate) source: Address,
    header: *const Ipv6Header,
    payload: Cursor,
}

/// The transport header as far as flows need it.
pub(crate) struct Transport {
    header: Cursor,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

#[repr(C)]
struct EthernetHeader {
    addresses: [u16; 6],
    ethertype: u16,
}

#[repr(C)]
struct VlanTag {
    control: u16,
    ethertype: u16,
}

#[repr(C)]
struct Ipv4Header {
    version_and_length: u8,
    service: u8,
    total_length: u16,
    identification: u16,
    fragment: u16,
    time_to_live: u8,
    protocol: u8,
    checksum: u16,
    source: u32,
    destination: u32,
}

#[repr(C)]
struct Ipv6Header {
    version_and_class: u8,
    flow_label: [u8; 3],
    payload_length: u16,
    next_header: u8,
    hop_limit: u8,
    source: [u32; 4],
    destination: [u32; 4],
}

/// The first word of an extension header; the fragment offset is the second half of it.
#[repr(C)]
struct ExtensionHeader {
    next_header: u8,
    length: u8,
    fragment: u16,
}

/// The fourth word of a TCP header: the flags are in its second byte.
#[repr(C)]
struct TcpFlags {
    before: [u32; 3],
    offset: u8,
    flags: u8,
}

#[repr(C)]
struct Ports {
    source: u16,
    destination: u16,
}

/// Reads header after header. A copy taken before a read still points at what it read.
#[derive(Clone, Copy)]
struct Cursor {
    at: usize,
    end: usize,
}

impl Cursor {
    /// The next header, if the whole of it is there.
    #[inline(always)]
    fn take<T>(&mut self) -> Option<*const T> {
        let header = self.at;
        let next = header + size_of::<T>();
        if next > self.end {
            return None;
        }
        self.at = next;
        Some(header as *const T)
    }

    /// Leaves out `bytes`.
    #[inline(always)]
    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

/// Reads a field of a header that [`Cursor::take`] returned.
///
/// Plain loads, although the IP header lies 14 bytes into the frame: `read_unaligned` becomes byte
/// loads and shifts, and the architectures that XDP runs on load words at any address.
macro_rules! field {
    ($header:expr, $field:ident $([$index:expr])?) => {{
        let header = $header;
        // SAFETY: `take` compared the end of the header with the end of the frame, and whoever made
        // the frame promised that it stays.
        unsafe { (&raw const (*header).$field $([$index])?).read() }
    }};
}

impl Frame {
    /// The frame from one address up to another.
    ///
    /// # Safety
    /// What lies between them stays readable as long as the frame and what is read of it are in use.
    #[inline(always)]
    pub(crate) unsafe fn between(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    #[inline(always)]
    pub(crate) fn length(&self) -> u64 {
        (self.end - self.start) as u64
    }

    /// The network header; `None` if it is cut off or not of the version that it should be.
    #[inline(always)]
    pub(crate) fn network(&self) -> Option<Network> {
        let mut cursor = Cursor {
            at: self.start,
            end: self.end,
        };
        let ethernet = cursor.take::<EthernetHeader>()?;
        let mut ethertype = field!(ethernet, ethertype);
        // Most packets have no tag: they are not asked for one.
        match ethertype {
            ETHERTYPE_IPV4 => return Ipv4::read(cursor).map(Network::V4),
            ETHERTYPE_IPV6 => return Ipv6::read(cursor).map(Network::V6),
            _ => {}
        }
        let mut tags = 0;
        while tags < MAX_VLAN_TAGS && (ethertype == ETHERTYPE_8021Q || ethertype == ETHERTYPE_8021AD) {
            ethertype = field!(cursor.take::<VlanTag>()?, ethertype);
            tags += 1;
        }
        match ethertype {
            ETHERTYPE_IPV4 => Ipv4::read(cursor).map(Network::V4),
            ETHERTYPE_IPV6 => Ipv6::read(cursor).map(Network::V6),
            _ => Some(Network::Other),
        }
    }
}

impl Ipv4 {
    #[inline(always)]
    fn read(mut cursor: Cursor) -> Option<Self> {
        let header = cursor.take::<Ipv4Header>()?;
        if field!(header, version_and_length) >> 4 != 4 {
            return None;
        }
        Some(Self {
            header,
            options: cursor,
        })
    }

    #[inline(always)]
    pub(crate) fn source(&self) -> Address {
        Address::from_v4_word(field!(self.header, source))
    }

    #[inline(always)]
    pub(crate) fn destination(&self) -> Address {
        Address::from_v4_word(field!(self.header, destination))
    }

    /// `None` for later fragments and cut-off headers, and for protocols without ports.
    #[inline(always)]
    pub(crate) fn transport(&self) -> Option<Transport> {
        if field!(self.header, fragment) & IPV4_OFFSET_MASK != 0 {
            return None;
        }
        let words = usize::from(field!(self.header, version_and_length) & 0x0f);
        let mut cursor = self.options;
        cursor.skip(words.checked_sub(5)? * 4);
        Transport::read(cursor, field!(self.header, protocol))
    }
}

impl Ipv6 {
    #[inline(always)]
    fn read(mut cursor: Cursor) -> Option<Self> {
        let header = cursor.take::<Ipv6Header>()?;
        if field!(header, version_and_class) >> 4 != 6 {
            return None;
        }
        Some(Self {
            source: Address([
                field!(header, source[0]),
                field!(header, source[1]),
                field!(header, source[2]),
                field!(header, source[3]),
            ]),
            header,
            payload: cursor,
        })
    }

    #[inline(always)]
    pub(crate) fn destination(&self) -> Address {
        Address([
            field!(self.header, destination[0]),
            field!(self.header, destination[1]),
            field!(self.header, destination[2]),
            field!(self.header, destination[3]),
        ])
    }

    /// As for IPv4; also `None` behind more extension headers than we walk.
    #[inline(always)]
    pub(crate) fn transport(&self) -> Option<Transport> {
        let mut cursor = self.payload;
        let mut protocol = field!(self.header, next_header);
        let mut walked = 0;
        // The last round only looks whether the transport header is next.
        while walked <= MAX_EXTENSION_HEADERS {
            let length = match protocol {
                IPPROTO_HOPOPTS | IPPROTO_ROUTING | IPPROTO_DSTOPTS => Length::EightBytes,
                IPPROTO_AH => Length::FourBytes,
                IPPROTO_FRAGMENT => Length::Fixed,
                _ => return Transport::read(cursor, protocol),
            };
            let mut after = cursor;
            let header = after.take::<ExtensionHeader>()?;
            let units = usize::from(field!(header, length));
            match length {
                Length::EightBytes => cursor.skip((units + 1) * 8),
                Length::FourBytes => cursor.skip((units + 2) * 4),
                Length::Fixed => {
                    if field!(header, fragment) & IPV6_OFFSET_MASK != 0 {
                        return None;
                    }
                    cursor.skip(8);
                }
            }
            protocol = field!(header, next_header);
            walked += 1;
        }
        None
    }
}

/// How an extension header tells its length.
enum Length {
    /// In units of 8 bytes, the first not counted (RFC 8200).
    EightBytes,
    /// In units of 4 bytes, the first two not counted (RFC 4302).
    FourBytes,
    /// Always 8 bytes.
    Fixed,
}

impl Transport {
    #[inline(always)]
    fn read(mut cursor: Cursor, protocol: u8) -> Option<Self> {
        if protocol != IPPROTO_TCP && protocol != IPPROTO_UDP {
            return None;
        }
        let header = cursor;
        let ports = cursor.take::<Ports>()?;
        Some(Self {
            header,
            protocol,
            source_port: field!(ports, source),
            destination_port: field!(ports, destination),
        })
    }

    /// Whether this opens a TCP connection.
    #[inline(always)]
    pub(crate) fn is_syn(&self) -> bool {
        let mut cursor = self.header;
        if self.protocol != IPPROTO_TCP {
            return false;
        }
        match cursor.take::<TcpFlags>() {
            Some(header) => field!(header, flags) & (TCP_SYN | TCP_ACK) == TCP_SYN,
            None => false,
        }
    }
}
