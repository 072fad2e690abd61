//! The one spelling that clients of the profile use, read without copying anything.
//!
//! Whatever is spelled otherwise is left to the full parser in [`super::parse`]. A property test holds the two
//! together: what is read here, the full parser reads as the same.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::components::Components;
use super::{REQUIRED, SignatureBytes, TAG};

/// How the list of our own clients begins: with what every signature covers.
const USUAL: &str = r#"("@method" "@authority" "@path" "@query""#;

/// The key of our own clients.
const LABEL: &str = "portcullis";

/// The only member of a `Signature-Input` field, with our tag, strictly serialised.
#[derive(Debug)]
pub(super) struct Strict<'a> {
    pub(super) label: &'a str,
    pub(super) components: Components<'a>,
    pub(super) created: i64,
    pub(super) nonce: &'a str,
    pub(super) keyid: &'a str,
    pub(super) alg: &'a str,
    /// The inner list and its parameters as they stand.
    pub(super) parameters: &'a str,
}

/// Reads a `Signature-Input` field of one member: plain components, and exactly our five parameters in any order.
pub(super) fn signature_input(field: &[u8]) -> Option<Strict<'_>> {
    if !is_plain(field) {
        return None;
    }
    let field = std::str::from_utf8(field).ok()?;
    let (label, parameters) = label(field)?;
    let mut components = Components::default();
    let mut rest = take_names(parameters, &mut components)?;
    let (mut created, mut nonce, mut keyid, mut alg, mut tag) = (None, None, None, None, None);
    while !rest.is_empty() {
        let (slot, value) = if let Some(value) = rest.strip_prefix(";created=") {
            let number;
            (number, rest) = integer(value)?;
            if created.replace(number).is_some() {
                return None;
            }
            continue;
        } else if let Some(value) = rest.strip_prefix(";nonce=") {
            (&mut nonce, value)
        } else if let Some(value) = rest.strip_prefix(";keyid=") {
            (&mut keyid, value)
        } else if let Some(value) = rest.strip_prefix(";alg=") {
            (&mut alg, value)
        } else {
            (&mut tag, rest.strip_prefix(";tag=")?)
        };
        let text;
        (text, rest) = string(value)?;
        if slot.replace(text).is_some() {
            return None;
        }
    }
    tag.filter(|&tag| tag == TAG)?;
    Some(Strict {
        label,
        components,
        created: created?,
        nonce: nonce?,
        keyid: keyid?,
        alg: alg?,
        parameters,
    })
}

/// Reads a `Signature` field whose only member has this label and is a canonical byte sequence of a length that
/// signatures have.
pub(super) fn signature(field: &[u8], label: &str) -> Option<SignatureBytes> {
    byte_sequence(field.strip_prefix(label.as_bytes())?.strip_prefix(b"=")?)
}

/// Reads a byte sequence (RFC 8941 section 3.3.5) that is canonical and as long as a signature may be, and not empty.
pub(super) fn byte_sequence(item: &[u8]) -> Option<SignatureBytes> {
    let text = item.strip_prefix(b":")?.strip_suffix(b":")?;
    // The decoder wants room for whole groups of three bytes.
    let mut bytes = [0; SignatureBytes::LONGEST + 2];
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    SignatureBytes::new(bytes.get(..length)?).filter(|_| length > 0)
}

/// Takes the names of a list without parameters, and returns what comes behind it.
fn take_names<'a>(list: &'a str, names: &mut Components<'a>) -> Option<&'a str> {
    let mut rest = match list.strip_prefix(USUAL) {
        Some(rest) => {
            names.push_all(&REQUIRED)?;
            rest
        }
        None => {
            let (first, rest) = string(list.strip_prefix('(')?)?;
            names.push_all(&[first])?;
            rest
        }
    };
    while let Some(more) = rest.strip_prefix(' ') {
        let name;
        (name, rest) = string(more)?;
        names.push_all(&[name])?;
    }
    rest.strip_prefix(')')
}

/// A key of a dictionary and what comes behind its `=`.
fn label(field: &str) -> Option<(&str, &str)> {
    split(field, b'=').filter(|(label, _)| *label == LABEL || is_key(label.as_bytes()))
}

/// Whether it is a key as RFC 8941 section 3.1.2 has them.
fn is_key(label: &[u8]) -> bool {
    let begins_well = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'*';
    let other =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'*');
    label.first().is_some_and(begins_well) && label.iter().all(other)
}

/// Whether strings in a field are what stands between two quotes: printable ASCII and no escape. All bytes are looked at
/// in any case, so that the compiler can take many at once.
fn is_plain(field: &[u8]) -> bool {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') & (*byte != b'\\');
    field.iter().fold(true, |all, byte| all & is_plain(byte))
}

/// A string of a plain field (RFC 8941 section 3.3.3).
fn string(text: &str) -> Option<(&str, &str)> {
    split(text.strip_prefix('"')?, b'"')
}

/// What stands before and behind the first of an ASCII character.
fn split(text: &str, at: u8) -> Option<(&str, &str)> {
    let position = position(text.as_bytes(), at)?;
    Some((text.get(..position)?, text.get(position + 1..)?))
}

/// Where a byte is first, looked for in whole words: where it is, the difference is zero. Subtracting ones marks each zero
/// by its highest bit, and what it may mark beside lies above a zero that is there.
fn position(bytes: &[u8], sought: u8) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let difference = u64::from_le_bytes(*word) ^ u64::from_le_bytes([sought; 8]);
        let zeros = difference.wrapping_sub(ONES) & !difference & HIGHEST;
        if zeros != 0 {
            return Some(index * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    let place = rest.iter().position(|byte| *byte == sought)?;
    Some(words.len() * 8 + place)
}

/// An integer that is spelled as it is serialised (RFC 8941 section 4.1.4), and no decimal.
fn integer(text: &str) -> Option<(i64, &str)> {
    let end = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    let canonical = digits == "0" || (digits.starts_with(|first| matches!(first, '1'..='9')) && digits.len() <= 15);
    let number = || {
        digits
            .bytes()
            .fold(0, |number, digit| 10 * number + i64::from(digit - b'0'))
    };
    (canonical && !rest.starts_with('.')).then(|| (number(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse;
    use super::*;

    const OURS: &str = concat!(
        r#"portcullis=("@method" "@authority" "@path" "@query" "content-digest");created=1800000000;"#,
        r#"nonce="abcdefgh.12";keyid="k-_";alg="hmac-sha256";tag="portcullis-1""#
    );

    #[test]
    fn the_usual_list_is_that_of_what_every_signature_covers() {
        let quoted = REQUIRED.map(|name| format!("\"{name}\""));
        assert_eq!(USUAL, format!("({}", quoted.join(" ")));
    }

    #[test]
    fn our_own_spelling_is_read() {
        let strict = signature_input(OURS.as_bytes()).unwrap();
        assert_eq!(
            (strict.label, strict.created, strict.nonce),
            ("portcullis", 1_800_000_000, "abcdefgh.12")
        );
        assert_eq!((strict.keyid, strict.alg), ("k-_", "hmac-sha256"));
        assert_eq!(format!("portcullis={}", strict.parameters), OURS);
        assert_eq!(strict.components.iter().count(), 5);
        assert!(signature(b"portcullis=:AAEC:", "portcullis").is_some());
    }

    #[test]
    fn other_spellings_are_left_to_the_parser() {
        let with = |from: &str, to: &str| OURS.replace(from, to);
        for input in [
            with("\"@path\"", " \"@path\""),
            with("\"@path\"", "\"@path\";req"),
            with("\"@path\"", "path"),
            with("created=1800000000", "created=01800000000"),
            with("created=1800000000", "created=1800000000.0"),
            with("created=1800000000", "created=\"1800000000\""),
            with("created=1800000000", "created=1800000000;created=1800000000"),
            with("k-_", "k\\\"_"),
            with("k-_", "kä"),
            with("portcullis-1", "other"),
            with("created=1800000000;", ""),
            with("created=1800000000;", "created=1800000000;expires=1800000001;"),
            with("portcullis=", "Portcullis="),
            with("portcullis=", ""),
            format!("{OURS}, x=1"),
            format!("{OURS} "),
            format!(" {OURS}"),
            String::new(),
        ] {
            assert!(signature_input(input.as_bytes()).is_none(), "{input}");
        }
        for field in [
            "portcullis=:AAE:",
            "portcullis=:AAF=:",
            "portcullis=AAEC",
            "other=:AAEC:",
            "portcullis=:AAEC:, x=1",
            "portcullis=::",
            "",
        ] {
            assert!(signature(field.as_bytes(), "portcullis").is_none(), "{field}");
        }
    }

    /// Pieces that valid fields and slightly wrong ones are made of.
    fn piece() -> impl Strategy<Value = String> {
        let fixed = prop::sample::select(vec![
            "p=",
            "(",
            ")",
            "\"@method\"",
            "\"@authority\"",
            "\"@path\"",
            "\"@query\"",
            " ",
            "  ",
            ";",
            ",",
            ", ",
            "=",
            "created=1800000000",
            ";created=5",
            ";created=-5",
            ";created=05",
            ";created=5.0",
            ";created",
            ";nonce=\"n\"",
            ";keyid=\"k\"",
            ";keyid=\"a\\\"b\"",
            ";alg=\"hmac-sha256\"",
            ";tag=\"portcullis-1\"",
            ";tag=portcullis-1",
            ";tag=\"x\"",
            ";expires=7",
            ";odd",
            ";x=?1",
            "q=",
            "*",
            "\"",
            "\\",
            "\t",
            "1",
            ":AA==:",
        ]);
        prop_oneof![9 => fixed.prop_map(str::to_owned), 1 => ".{0,3}"]
    }

    /// A field that is whole but for a few changes.
    fn nearly_ours() -> impl Strategy<Value = String> {
        (
            prop::collection::vec((0..OURS.len(), piece(), 0usize..3), 0..3),
            Just(OURS),
        )
            .prop_map(|(changes, ours)| {
                let mut text = ours.to_owned();
                for (at, piece, dropped) in changes {
                    let at = text.floor_char_boundary(at.min(text.len()));
                    let end = text.floor_char_boundary((at + dropped).min(text.len()));
                    text.replace_range(at..end, &piece);
                }
                text
            })
    }

    /// What is read here must be read by the full parser as the same.
    fn agrees(field: &str) -> Result<(), TestCaseError> {
        let Some(strict) = signature_input(field.as_bytes()) else {
            return Ok(());
        };
        let members = parse::signature_input(field.as_bytes()).ok_or_else(|| TestCaseError::fail("refused by sfv"))?;
        let [member] = &members[..] else {
            return Err(TestCaseError::fail("not one member"));
        };
        prop_assert!(!member.malformed);
        prop_assert_eq!(member.label, strict.label);
        let components: Option<Vec<_>> = member.components.iter().map(Option::as_deref).collect();
        prop_assert_eq!(components, Some(strict.components.iter().collect()));
        prop_assert_eq!((member.created, member.expires), (Some(strict.created), None));
        prop_assert_eq!(member.nonce.as_deref(), Some(strict.nonce));
        prop_assert_eq!(member.keyid.as_deref(), Some(strict.keyid));
        prop_assert_eq!(member.alg.as_deref(), Some(strict.alg));
        prop_assert_eq!(member.tag.as_deref(), Some(TAG));
        prop_assert_eq!(&member.serialised, strict.parameters);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn nothing_is_read_that_the_parser_refuses(field in nearly_ours()) {
            agrees(&field)?;
        }

        #[test]
        fn nor_of_any_soup(pieces in prop::collection::vec(piece(), 0..14)) {
            agrees(&pieces.concat())?;
        }

        #[test]
        fn texts_are_split_where_they_must(text in "[\u{0}\u{1}!-#\u{80}-\u{ff}]{0,40}", at in 0u8..0x80) {
            prop_assert_eq!(split(&text, at), text.split_once(char::from(at)));
            prop_assert_eq!(split(&text, b'"'), text.split_once('"'));
        }

        #[test]
        fn signatures_agree_too(label in "[a-z*][a-z0-9._*-]{0,4}", bytes in prop::collection::vec(any::<u8>(), 0..70),
                change in prop::option::of((0usize..100, ".{0,2}"))) {
            let mut field = format!("{label}=:{}:", STANDARD.encode(&bytes));
            if let Some((at, text)) = change {
                let at = field.floor_char_boundary(at.min(field.len()));
                field.insert_str(at, &text);
            }
            if let Some(strict) = signature(field.as_bytes(), &label) {
                let parsed = parse::byte_sequences(field.as_bytes());
                prop_assert_eq!(parsed, Some(vec![(label.as_str(), Some(strict.as_slice().to_vec()))]));
            }
        }
    }
}
