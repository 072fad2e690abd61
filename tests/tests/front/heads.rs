//! More of the table in [`pseudo`](super::pseudo): heads that are wrong as a whole.

use super::pseudo::Fields;

/// Other heads, whole.
pub(super) const HEADS: &[(&str, Fields)] = &[
    (
        "no method",
        &[(":scheme", "http"), (":authority", "a"), (":path", "/p")],
    ),
    (
        "no path",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a")],
    ),
    (
        "an empty path",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", ""),
        ],
    ),
    (
        "no authority",
        &[(":method", "GET"), (":scheme", "http"), (":path", "/p")],
    ),
    (
        "an empty authority",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", ""),
            (":path", "/p"),
        ],
    ),
    (
        "a path without a slash",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "p"),
        ],
    ),
    (
        "a star",
        &[
            (":method", "OPTIONS"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "*"),
        ],
    ),
    (
        "an address as path",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "http://b/api/secret"),
        ],
    ),
    (
        "a path with a version",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p HTTP/1.1\r\nhost: b\r\n\r\n"),
        ],
    ),
    (
        "a path with a space",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p /api/secret"),
        ],
    ),
    (
        "a method with a request",
        &[
            (":method", "GET /api/secret HTTP/1.1\r\nx: "),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    (
        "a method with a space",
        &[
            (":method", "GET /x"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    (
        "an authority with a line break",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a\r\nx: y"),
            (":path", "/p"),
        ],
    ),
    (
        "an authority with a user",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "b@a"),
            (":path", "/p"),
        ],
    ),
    (
        "an authority with a path",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a/api/secret"),
            (":path", "/p"),
        ],
    ),
    (
        "a strange scheme",
        &[
            (":method", "GET"),
            (":scheme", "file"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    (
        "a scheme with a request",
        &[
            (":method", "GET"),
            (":scheme", "http://a/api/secret?"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    ("CONNECT", &[(":method", "CONNECT"), (":authority", "a:1")]),
    (
        "CONNECT for something else",
        &[
            (":method", "CONNECT"),
            (":protocol", "connect-udp"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    (
        "TRACE",
        &[
            (":method", "TRACE"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    (
        "dot segments to what is protected",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p/../api/secret"),
        ],
    ),
    (
        "an escaped slash",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p%2f..%2fapi/secret"),
        ],
    ),
    (
        "a method in small letters",
        &[
            (":method", "get"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    (
        "a method with a sign",
        &[
            (":method", "!GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    (
        "CONNECT in small letters",
        &[
            (":method", "connect"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    (
        "a path with a tab",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p\tx"),
        ],
    ),
    (
        "a path with NUL",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p\0"),
        ],
    ),
    (
        "a path with an escaped line break",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/p%0d%0a"),
        ],
    ),
    (
        "a star for GET",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "*"),
        ],
    ),
    (
        "capitals of what is protected",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/API/secret"),
        ],
    ),
    (
        "an authority with a sign in its port",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a:+80"),
            (":path", "/p"),
        ],
    ),
    (
        "an authority with zeros in its port",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a:0080"),
            (":path", "/p"),
        ],
    ),
    (
        "an authority of two names",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a,b"),
            (":path", "/p"),
        ],
    ),
    ("no scheme", &[(":method", "GET"), (":authority", "a"), (":path", "/p")]),
    (
        "a scheme in capitals",
        &[
            (":method", "GET"),
            (":scheme", "HTTP"),
            (":authority", "a"),
            (":path", "/p"),
        ],
    ),
    (
        "a WebSocket without a path",
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "a"),
        ],
    ),
    (
        "a WebSocket to what is protected",
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/api/secret"),
            ("sec-websocket-version", "13"),
        ],
    ),
];
