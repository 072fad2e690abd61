//! The characters of session ids and nonces, base64url (RFC 4648 section 5), where there are few of them. The library is
//! made for long texts: for these, getting ready costs it more than decoding.

/// The value of each character; [`NONE`] for what is none.
static VALUES: [u8; 256] = values();
const NONE: u8 = 0xff;
/// Characters that make three bytes.
const GROUP: usize = 4;

const fn values() -> [u8; 256] {
    let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 64 {
        values[characters[value as usize] as usize] = value;
        value += 1;
    }
    values
}

/// Whether it is one of the 64.
pub(crate) fn is_one(character: u8) -> bool {
    VALUES[usize::from(character)] != NONE
}

/// Decodes the first groups of a text, three bytes each; `None` if they are too few or have something else in them.
pub(crate) fn decode<const GROUPS: usize>(text: &[u8]) -> Option<[[u8; 3]; GROUPS]> {
    let groups = text.as_chunks::<GROUP>().0.get(..GROUPS)?;
    let mut decoded = [[0; 3]; GROUPS];
    let mut seen = 0;
    for (bytes, group) in decoded.iter_mut().zip(groups) {
        let [a, b, c, d] = group.map(|character| VALUES[usize::from(character)]);
        seen |= a | b | c | d;
        let bits = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
        [_, bytes[0], bytes[1], bytes[2]] = bits.to_be_bytes();
    }
    (seen < 64).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn there_are_64() {
        let characters = base64::alphabet::URL_SAFE.as_str().as_bytes();
        assert!((0..=u8::MAX).all(|byte| is_one(byte) == characters.contains(&byte)));
    }

    #[test]
    fn what_follows_is_not_looked_at() {
        assert_eq!(decode(b"-_-_AAAA="), Some([[0xfb, 0xff, 0xbf], [0; 3]]));
        assert_eq!(decode::<2>(b"AAAAAAA"), None);
    }

    proptest! {
        #[test]
        fn it_is_what_the_library_decodes(text in "[A-Da-d0+/=_é -]{0,1}[A-Za-z0-9_-]{15}[A-Za-z0-9_=-]?") {
            let expected = text.as_bytes().get(..16).map(|start| URL_SAFE_NO_PAD.decode(start).ok());
            let decoded = decode::<4>(text.as_bytes());
            prop_assert_eq!(decoded.map(|groups| groups.as_flattened().to_vec()), expected.flatten());
        }
    }
}
