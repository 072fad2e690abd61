//! Reads a `ClientHello`. Nothing in it is trusted: every length is checked, and what is left over is ignored.

/// Bytes of records in which a `ClientHello` must be complete. Those of browsers with post-quantum keys have 2,000.
pub const LONGEST_HELLO: usize = 16 << 10;

const RECORD_HEADER: usize = 5;
const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_HEADER: usize = 4;
const MESSAGE_CLIENT_HELLO: u8 = 1;

const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extracted {
    /// The beginning of a `ClientHello`; more must come.
    Incomplete,
    /// A whole one, out of its records.
    Hello(Vec<u8>),
    /// Something else, or more than [`LONGEST_HELLO`].
    Other,
}

/// Takes a `ClientHello` out of TLS records (RFC 8446 section 5.1); it may be spread over several.
#[must_use]
pub fn extract(mut bytes: &[u8]) -> Extracted {
    if bytes.len() > LONGEST_HELLO {
        return Extracted::Other;
    }
    let mut message = Vec::new();
    loop {
        match bytes.first() {
            None => return Extracted::Incomplete,
            Some(&RECORD_HANDSHAKE) => {}
            Some(_) => return Extracted::Other,
        }
        let Some((header, rest)) = bytes.split_at_checked(RECORD_HEADER) else {
            return Extracted::Incomplete;
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if length == 0 {
            return Extracted::Other;
        }
        let part = rest.get(..length).unwrap_or(rest);
        message.extend_from_slice(part);
        match message.first() {
            Some(&MESSAGE_CLIENT_HELLO) | None => {}
            Some(_) => return Extracted::Other,
        }
        if let Some(whole) = whole_length(&message)
            && message.len() >= whole
        {
            message.truncate(whole);
            return Extracted::Hello(message);
        }
        if part.len() < length {
            return Extracted::Incomplete;
        }
        bytes = &rest[length..];
    }
}

fn whole_length(message: &[u8]) -> Option<usize> {
    let (_, length, _) = header(message)?;
    Some(MESSAGE_HEADER + length)
}

/// The type of a handshake message, the length of its body, and what is there of it.
fn header(message: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (header, body) = message.split_at_checked(MESSAGE_HEADER)?;
    let length = u32::from_be_bytes([0, header[1], header[2], header[3]]);
    Some((header[0], usize::try_from(length).ok()?, body))
}

/// What a fingerprint goes by, in the order of the message, without GREASE (RFC 8701).
#[derive(Debug, Default)]
pub(super) struct ClientHello<'a> {
    /// The highest version that is offered.
    pub(super) version: u16,
    pub(super) ciphers: Vec<u16>,
    pub(super) extensions: Vec<u16>,
    pub(super) signature_algorithms: Vec<u16>,
    pub(super) names_server: bool,
    /// The first protocol that is offered.
    pub(super) protocol: Option<&'a [u8]>,
}

impl<'a> ClientHello<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let (kind, length, body) = header(message)?;
        if kind != MESSAGE_CLIENT_HELLO || body.len() != length {
            return None;
        }
        let mut body = Reader(body);
        let version = body.number()?;
        body.take(32)?;
        body.short_vector()?;
        let ciphers = numbers(body.vector()?);
        body.short_vector()?;
        let mut hello = Self {
            version,
            ciphers,
            ..Self::default()
        };
        // TLS before 1.3 may end here.
        let mut extensions = Reader(if body.0.is_empty() { &[] } else { body.vector()? });
        while !extensions.0.is_empty() {
            let (kind, content) = (extensions.number()?, extensions.vector()?);
            hello.note(kind, content);
        }
        Some(hello)
    }

    /// A content that makes no sense counts as one that says nothing.
    fn note(&mut self, kind: u16, content: &'a [u8]) {
        if is_grease(kind) {
            return;
        }
        self.extensions.push(kind);
        let mut content = Reader(content);
        match kind {
            SERVER_NAME => self.names_server = true,
            SIGNATURE_ALGORITHMS => self.signature_algorithms = content.vector().map(numbers).unwrap_or_default(),
            ALPN => {
                let first = content.vector().and_then(|list| Reader(list).short_vector());
                self.protocol = first.filter(|name| !name.is_empty());
            }
            SUPPORTED_VERSIONS => {
                let offered = content.short_vector().map(numbers).unwrap_or_default();
                self.version = offered.into_iter().max().unwrap_or(self.version);
            }
            _ => {}
        }
    }
}

/// Values that clients make up so that servers stay tolerant: `0x0a0a`, `0x1a1a` and so on.
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    pairs.filter(|&number| !is_grease(number)).collect()
}

/// Reads from the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes behind a length of two bytes.
    fn vector(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }

    /// Bytes behind a length of one byte.
    fn short_vector(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?;
        self.take(usize::from(length[0]))
    }
}
