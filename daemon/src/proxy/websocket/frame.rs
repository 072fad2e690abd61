//! Where frames begin and end (RFC 6455 section 5.2). What is in them is nobody's business here.

/// The longest head of a frame: two bytes, a length of eight, a mask of four.
const LONGEST_HEAD: usize = 14;
/// The longest reason that fits into a close frame, which is a control frame.
const LONGEST_REASON: usize = 123;

/// Follows a stream of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frames {
    head: [u8; LONGEST_HEAD],
    /// Bytes of a head that has begun.
    known: usize,
    /// Bytes of the payload that are to come.
    payload: u64,
}

impl Frames {
    /// Whether a frame has just ended, and none has begun.
    pub(super) fn is_between(&self) -> bool {
        self.known == 0 && self.payload == 0
    }

    /// Goes on by these bytes, but not beyond the end of the frame if `within`. Returns how many were followed.
    pub(super) fn follow(&mut self, bytes: &[u8], within: bool) -> usize {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if self.payload > 0 {
                let length = usize::try_from(self.payload).unwrap_or(usize::MAX).min(rest.len());
                self.payload -= u64::try_from(length).unwrap_or(self.payload);
                rest = &rest[length..];
            } else {
                self.head[self.known] = byte;
                self.known += 1;
                rest = after;
                if self.known >= 2 && self.known == self.head_length() {
                    self.payload = self.payload_length();
                    self.known = 0;
                }
            }
            if within && self.is_between() {
                break;
            }
        }
        bytes.len() - rest.len()
    }

    fn head_length(&self) -> usize {
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + mask
    }

    fn payload_length(&self) -> u64 {
        let long = |bytes: &[u8]| bytes.iter().fold(0, |length, &byte| length << 8 | u64::from(byte));
        match self.head[1] & 0x7f {
            126 => long(&self.head[2..4]),
            127 => long(&self.head[2..10]),
            short => u64::from(short),
        }
    }
}

/// A close frame of a server (RFC 6455 section 5.5.1).
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.len().min(LONGEST_REASON)];
    let length = u8::try_from(2 + reason.len()).unwrap_or(2);
    [&[0x88, length], &code.to_be_bytes()[..], reason].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = match length {
            0..126 => vec![0x82, mask | u8::try_from(length).unwrap()],
            126..65536 => [&[0x82, mask | 126], &u16::try_from(length).unwrap().to_be_bytes()[..]].concat(),
            _ => [&[0x82, mask | 127], &u64::try_from(length).unwrap().to_be_bytes()[..]].concat(),
        };
        frame.extend_from_slice(&[0xff; 4][..if is_masked { 4 } else { 0 }]);
        frame.resize(frame.len() + length, 0xff);
        frame
    }

    #[test]
    fn frames_of_all_lengths_end_where_they_end_however_they_come() {
        let lengths = [0, 1, 125, 126, 127, 65535, 65536, 70000];
        for (length, is_masked) in lengths.into_iter().flat_map(|length| [(length, false), (length, true)]) {
            for step in [1, 2, 3, 1000, 100_000] {
                let mut frames = Frames::default();
                let bytes = frame(length, is_masked);
                let mut seen = 0;
                for piece in bytes.chunks(step) {
                    assert!(seen == 0 || !frames.is_between(), "{length} ended after {seen}");
                    seen += frames.follow(piece, false);
                }
                assert!(
                    frames.is_between() && seen == bytes.len(),
                    "{length} {is_masked} {step}"
                );
            }
        }
    }

    #[test]
    fn the_end_of_the_frame_can_be_asked_for() {
        let both = [frame(5, false), frame(3, false)].concat();
        let mut frames = Frames::default();
        assert_eq!(frames.follow(&both[..4], false), 4);
        assert_eq!(frames.follow(&both[4..], true), 3);
        assert!(frames.is_between());
    }

    #[test]
    fn a_close_frame_is_short() {
        assert_eq!(close(4403, "ended"), b"\x88\x07\x11\x33ended");
        assert_eq!(close(1000, &"x".repeat(200)).len(), 127);
    }
}
