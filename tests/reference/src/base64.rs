//! Base64 (RFC 4648), a character at a time.

/// The alphabet of section 4.
pub const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The alphabet of section 5.
pub const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Decodes as RFC 8941 section 4.2.7 asks: missing padding and bits behind the last byte are no errors.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
    let (digits, padding) = text.split_at(end);
    let most = match digits.len() % 4 {
        0 => 0,
        1 => return None,
        2 => 2,
        _ => 1,
    };
    if padding.len() > most || padding.iter().any(|byte| *byte != b'=') {
        return None;
    }
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0u32, 0);
    for digit in digits {
        let value = STANDARD.iter().position(|letter| letter == digit)?;
        held = (held << 6) | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

/// Encodes; padded in the standard alphabet, bare in the other.
#[must_use]
pub fn encode(alphabet: &[u8; 64], bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            text.push(char::from(alphabet[(word >> (18 - 6 * digit)) as usize & 63]));
        }
        if alphabet == STANDARD {
            text.push_str(&"=".repeat(3 - group.len()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4648_section_10() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(encode(STANDARD, plain.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(encode(URL_SAFE, &[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn what_structured_fields_let_pass() {
        let none: [&[u8]; 7] = [b"Z", b"Zg===", b"Zm9v=", b"Zm8==", b"Zg=x", b"Z g=", b"Zm-_"];
        assert!(none.iter().all(|text| decode(text).is_none()));
        assert_eq!(decode(b"Zg").as_deref(), Some(&b"f"[..]));
        assert_eq!(decode(b"Zh=").as_deref(), Some(&b"f"[..]));
    }
}
