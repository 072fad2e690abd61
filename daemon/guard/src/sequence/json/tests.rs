//! What is found, what is ambiguous, and what is no JSON.

use proptest::prelude::*;

use super::*;

fn scan(pointers: &[&str], text: &[u8], piece: usize, exact: bool) -> Result<Vec<(usize, String)>, Broken> {
    let pointers: Vec<_> = pointers.iter().map(|text| Pointer::parse(text).unwrap()).collect();
    let mut scanner = Scanner::new(64, exact);
    let mut all = Vec::new();
    let mut found = |number: usize, value: Found<'_>| {
        let shown = match value {
            Found::Text(text) => format!("text {}", String::from_utf8_lossy(text)),
            Found::Number(text) => format!("number {}", String::from_utf8_lossy(text)),
            Found::Bool(value) => format!("bool {value}"),
            Found::Null => "null".into(),
            Found::Unusable => "unusable".into(),
            Found::Twice => "twice".into(),
        };
        all.push((number, shown));
    };
    for piece in text.chunks(piece.max(1)) {
        scanner.push(&pointers, piece, &mut found)?;
    }
    scanner.finish(&pointers, &mut found)?;
    Ok(all)
}

#[test]
fn values_are_found_where_pointers_point() {
    let text =
        br#" {"items": [{"id": 7, "sub": {"id": "no"}}, {"id": "\u00e4\ud83d\ude00\n"}, [], {"x": 1, "id": null}],
        "a/b~": true, "id": -1.5e3, "deep": {"1": [10, 11, {"y": [[1]]}]}, "": ""} "#;
    let pointers = [
        "/items/*/id",
        "/a~1b~0",
        "/id",
        "/deep/1/1",
        "/deep",
        "/items/1/id",
        "/none",
        "/",
        "/deep/*/0",
    ];
    let expected = [
        (0, "number 7"),
        (0, "text ä😀\n"),
        (5, "text ä😀\n"),
        (0, "null"),
        (1, "bool true"),
        (2, "number -1.5e3"),
        (4, "unusable"),
        (8, "number 10"),
        (3, "number 11"),
        (7, "text "),
    ];
    for piece in [1, 2, 3, 7, 1000] {
        let found = scan(&pointers, text, piece, true).unwrap();
        let found: Vec<_> = found.iter().map(|(number, text)| (*number, text.as_str())).collect();
        assert_eq!(found, expected, "{piece}");
    }
}

#[test]
fn what_readers_disagree_about_is_told() {
    let twice = scan(&["/a/b"], br#"{"a": {"b": 1}, "a": {}}"#, 100, true).unwrap();
    assert_eq!(twice, [(0, "number 1".into()), (0, "twice".into())]);
    let folded = scan(&["/account"], br#"{"account": 1, "ACCOUNT": 2}"#, 100, false).unwrap();
    assert_eq!(
        folded,
        [(0, "number 1".into()), (0, "twice".into()), (0, "number 2".into())]
    );
    let exact = scan(&["/account"], br#"{"account": 1, "ACCOUNT": 2}"#, 100, true).unwrap();
    assert_eq!(exact, [(0, "number 1".into())]);
    let escaped = scan(&["/a"], br#"{"a": 1, "\u0061": 2}"#, 100, true).unwrap();
    assert_eq!(escaped.len(), 3, "the same name in another spelling");
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(65));
    assert_eq!(
        scan(&["/a"], long.as_bytes(), 10, true).unwrap(),
        [(0, "unusable".into())]
    );
}

#[test]
fn what_is_no_json_is_broken() {
    let deep = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert!(scan(&["/a"], &deep(DEPTH), 100, true).is_ok());
    assert!(scan(&["/a"], &deep(DEPTH + 1), 100, true).is_err());
    for text in [
        "",
        " ",
        "{",
        "[1",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[,]",
        "[1 2]",
        "{1:2}",
        "{'a':1}",
        "[1}",
        "{\"a\":1]",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "--1",
        "0x1",
        "NaN",
        "Infinity",
        "tru",
        "truee",
        "nul",
        "1 1",
        "{} {}",
        "{}x",
        "]",
        "\"a",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "{\"a\":1 /* */}",
        "// x\n1",
        "\u{feff}{}",
        "[1]]",
    ] {
        assert_eq!(scan(&["/a"], text.as_bytes(), 3, true), Err(Broken), "{text}");
    }
    assert_eq!(scan(&["/a"], b"{\"a\": \"\xff\"}", 3, true), Err(Broken));
    for text in [
        "1",
        "\"a\"",
        "null",
        "{}",
        "[]",
        "[[],{}]",
        "-0",
        "1e5",
        "1E-5",
        "\"\\\"\\/\"",
    ] {
        assert_eq!(scan(&["/a"], text.as_bytes(), 3, true), Ok(Vec::new()), "{text}");
    }
}

#[test]
fn pointers_are_read() {
    for text in ["", "a", "a/b"] {
        assert!(Pointer::parse(text).is_err(), "{text}");
    }
    assert!(Pointer::parse("/a").is_ok_and(|pointer| !pointer.is_plural()));
    assert!(Pointer::parse("/a/*").is_ok_and(|pointer| pointer.is_plural()));
    assert!(Pointer::parse(&"/a".repeat(DEPTH)).is_err());
    assert!(is_index("0", 0) && is_index("10", 10) && !is_index("00", 0) && !is_index("+1", 1));
}

proptest! {
    /// No text makes it panic, and it does not matter how the text is cut.
    #[test]
    fn any_bytes_in_any_pieces(
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200).boxed(),
            "[\\[\\]{}:,\"\\\\ua0-9.eE+ trulnfsx-]{0,80}".prop_map(String::into_bytes).boxed(),
        ],
        piece in 1usize..20,
    ) {
        let pointers = ["/a", "/*/a", "/0"];
        prop_assert_eq!(scan(&pointers, &text, piece, true), scan(&pointers, &text, 1000, true));
    }
}
