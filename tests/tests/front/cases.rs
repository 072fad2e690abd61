//! More of the table in [`smuggling`](super::smuggling): names, targets, methods, lengths and what hides behind them.

use super::smuggling::Verdict;
use super::smuggling::Verdict::{Either, Passes, Refused};

/// Name, bytes, verdict. `{H}` is the hidden call.
pub(super) const CASES: &[(&str, &str, Verdict)] = &[
    (
        "TE list that ends with a comma",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked,\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE list that begins with a comma",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: ,chunked\r\n\r\n0\r\n\r\nGET /q HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "TE before a tab",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\t\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Either("POST /p 2"),
    ),
    (
        "TE before a vertical tab",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\x0b\r\n\r\n2\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE with a parameter",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked;a=b\r\n\r\n2\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE empty, and a length",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\ncontent-length: 2\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "TE behind a NUL in its name",
        "POST /p HTTP/1.1\r\nhost: a\r\n\0transfer-encoding: chunked\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "what the client takes of trailers",
        "GET /p HTTP/1.1\r\nhost: a\r\nte: trailers, chunked\r\n\r\n",
        Passes("GET /p 0"),
    ),
    (
        "CL, and an empty one",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length:\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "an empty CL, and another",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length:\r\ncontent-length: 2\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "CL that is octal to some",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 010\r\n\r\n12345678GE",
        Refused,
    ),
    (
        "CL of zeros",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 00\r\n\r\n",
        Refused,
    ),
    (
        "CL with a space in it",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2 2\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "CL after a vertical tab",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: \x0b2\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "CL with an exponent",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 1e1\r\n\r\n0123456789",
        Refused,
    ),
    (
        "CL with a space before the colon",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length : 2\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "CL folded",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n 2\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "two types of content",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-type: \
         application/x-www-form-urlencoded\r\ncontent-length: 2\r\n\r\nhi",
        Refused,
    ),
    (
        "a type of content behind a space that is none in ASCII",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-type: \u{a0}application/x-www-form-urlencoded\r\ncontent-length: 2\r\n\r\nhi",
        Refused,
    ),
    (
        "chunk size with zeros in front",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n00000000000000002\r\nhi\r\n0000\r\n\r\n",
        Either("POST /p 2"),
    ),
    (
        "chunk size of all bits",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk size after a space",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n 2\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk size with an underscore",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1_0\r\n0123456789abcdef\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk size with a letter behind",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2x\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk without a size",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk size that ends with a bare CR",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\rXhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk extension with a bare CR",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;a\rb\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk extension with a quote that does not end",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;a=\"x\r\nhi\r\n0\r\n\r\n",
        Either("POST /p 2"),
    ),
    (
        "chunks that end with a bare LF",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\n{H}",
        Either("POST /p 2"),
    ),
    (
        "chunk that is longer than it says",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhixx\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "trailers that frame, route and name",
        "POST /p HTTP/1.1\r\nhost: a\r\ntrailer: portcullis-session\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\
         transfer-encoding: chunked\r\nhost: b\r\nportcullis-session: x\r\nx-forwarded-for: 192.0.2.1\r\n\r\n",
        Either("POST /p 2"),
    ),
    (
        "a trailer that is folded",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n z\r\n\r\n{H}",
        Refused,
    ),
    (
        "a request in place of a trailer",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{H}",
        Either("POST /p 2"),
    ),
    (
        "lines that end with LF alone, as servers may take them",
        "GET /p HTTP/1.1\nhost: a\nx: y\n\n",
        Either("GET /p 0"),
    ),
    (
        "a request behind LF alone",
        "GET /p HTTP/1.1\r\nhost: a\r\nx: y\n\n{H}",
        Either("GET /p 0"),
    ),
    (
        "lines before the request",
        "\r\n\r\nGET /p HTTP/1.1\r\nhost: a\r\n\r\n",
        Either("GET /p 0"),
    ),
    (
        "a space before the request",
        " GET /p HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    ("CR CR LF", "GET /p HTTP/1.1\r\nhost: a\r\nx: y\r\r\n\r\n", Refused),
    ("CR in a name", "GET /p HTTP/1.1\r\nhost: a\r\nx\r: y\r\n\r\n", Refused),
    (
        "NUL in a name",
        "GET /p HTTP/1.1\r\nhost: a\r\nx\0y: z\r\n\r\n",
        Refused,
    ),
    ("NUL in the target", "GET /p\0 HTTP/1.1\r\nhost: a\r\n\r\n", Refused),
    (
        "DEL in a value",
        "GET /p HTTP/1.1\r\nhost: a\r\nx: \x7f\r\n\r\n",
        Refused,
    ),
    (
        "a name that is not ASCII",
        "GET /p HTTP/1.1\r\nhost: a\r\nx\u{e9}: y\r\n\r\n",
        Refused,
    ),
    ("two spaces", "GET  /p HTTP/1.1\r\nhost: a\r\n\r\n", Refused),
    (
        "a space behind the version",
        "GET /p HTTP/1.1 \r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "a version in small letters",
        "GET /p http/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    ("a version of ten", "GET /p HTTP/1.10\r\nhost: a\r\n\r\n", Refused),
    ("no version", "GET /p\r\n\r\n", Refused),
    ("HTTP/1.0 without Host", "GET /p HTTP/1.0\r\n\r\n", Refused),
    (
        "a method in small letters",
        "get /p HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "a method in mixed letters",
        "Post /p HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        Refused,
    ),
    ("a method with a sign", "!GET /p HTTP/1.1\r\nhost: a\r\n\r\n", Refused),
    (
        "a target with a user",
        "GET http://u:p@a/p HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "a target with the Host as user",
        "GET http://a@b/p HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "a target with another port",
        "GET http://a:81/p HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "an absolute target to what is protected",
        "GET HTTP://A/api/secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "an absolute target",
        "GET http://a/p HTTP/1.1\r\nhost: a\r\n\r\n",
        Passes("GET /p 0"),
    ),
    (
        "an absolute target without a path",
        "GET http://a?x=1 HTTP/1.1\r\nhost: a\r\n\r\n",
        Passes("GET /?x=1 0"),
    ),
    (
        "a target of a file",
        "GET file:///api/secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "an authority as target",
        "GET a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    ("a star", "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", Refused),
    (
        "capitals of what is protected",
        "GET /API/secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "a parameter of a path",
        "GET /p;/../api/secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    ("an escaped NUL", "GET /p%00 HTTP/1.1\r\nhost: a\r\n\r\n", Refused),
    (
        "dots escaped",
        "GET /p/%2e%2e/api/secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "an overlong slash",
        "GET /p%c0%af..%c0%afapi/secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "bytes that are not ASCII",
        "GET /\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n",
        Either("GET /%C3%A9 0"),
    ),
    (
        "quotes in the target",
        "GET /p\"<> HTTP/1.1\r\nhost: a\r\n\r\n",
        Either("GET /p%22%3C%3E 0"),
    ),
    ("Host with two names", "GET /p HTTP/1.1\r\nhost: a,b\r\n\r\n", Refused),
    (
        "Host with a sign in its port",
        "GET /p HTTP/1.1\r\nhost: a:+80\r\n\r\n",
        Refused,
    ),
    (
        "Host with zeros in its port",
        "GET /p HTTP/1.1\r\nhost: a:0080\r\n\r\n",
        Refused,
    ),
    (
        "Host with an empty port",
        "GET /p HTTP/1.1\r\nhost: a:\r\n\r\n",
        Refused,
    ),
    (
        "Host with a large port",
        "GET /p HTTP/1.1\r\nhost: a:65536\r\n\r\n",
        Refused,
    ),
    ("Host with an escape", "GET /p HTTP/1.1\r\nhost: %61\r\n\r\n", Refused),
    ("Host with a query", "GET /p HTTP/1.1\r\nhost: a?b\r\n\r\n", Refused),
    (
        "Host with a backslash",
        "GET /p HTTP/1.1\r\nhost: a\\b\r\n\r\n",
        Refused,
    ),
    ("Host with a tab", "GET /p HTTP/1.1\r\nhost: a\tb\r\n\r\n", Refused),
    (
        "Host with half an address",
        "GET /p HTTP/1.1\r\nhost: [::1]x\r\n\r\n",
        Refused,
    ),
    (
        "Host with a zone",
        "GET /p HTTP/1.1\r\nhost: [fe80::1%25eth0]\r\n\r\n",
        Refused,
    ),
    ("Host empty", "GET /p HTTP/1.1\r\nhost:\r\n\r\n", Refused),
    ("Host folded", "GET /p HTTP/1.1\r\nhost:\r\n a\r\n\r\n", Refused),
    (
        "Host in capitals, with a dot",
        "GET /p HTTP/1.1\r\nHOST: A.\r\n\r\n",
        Passes("GET /p 0"),
    ),
    (
        "Connection takes the framing away",
        "POST /p HTTP/1.1\r\nhost: a\r\nconnection: te, transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "Connection that changes its mind",
        "POST /p HTTP/1.1\r\nhost: a\r\nconnection: close\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n{H}",
        Passes("POST /p 0"),
    ),
    (
        "Expect twice",
        "POST /p HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi",
        Either("POST /p 2"),
    ),
    (
        "Expect of several things",
        "POST /p HTTP/1.1\r\nhost: a\r\nexpect: y, 100-continue\r\ncontent-length: 2\r\n\r\nhi",
        Either("POST /p 2"),
    ),
    (
        "Expect without a body",
        "GET /p HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\r\n{H}",
        Passes("GET /p 0"),
    ),
    (
        "Expect in HTTP/1.0",
        "POST /p HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi",
        Either("POST /p 2"),
    ),
    (
        "an upgrade to HTTP/2 with settings",
        "GET /p HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQAAP__\r\n\r\n{H}",
        Passes("GET /p 0"),
    ),
    (
        "a WebSocket of an unknown version, and a request behind",
        "GET /p HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 777\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{H}",
        Passes("GET /p 0"),
    ),
    (
        "a WebSocket or HTTP/2",
        "GET /p HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket, h2c\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{H}",
        Passes("GET /p 0"),
    ),
    (
        "a WebSocket with a body",
        "GET /p HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\ncontent-length: 37\r\n\r\n{H}",
        Passes("GET /p 37"),
    ),
    (
        "HEAD with a request as its body",
        "HEAD /p HTTP/1.1\r\nhost: a\r\ncontent-length: 37\r\n\r\n{H}",
        Either("HEAD /p 37"),
    ),
    (
        "a body without a length",
        "POST /p HTTP/1.1\r\nhost: a\r\n\r\n{H}",
        Passes("POST /p 0"),
    ),
    (
        "our names under an underscore",
        "GET /p HTTP/1.1\r\nhost: a\r\nportcullis_user: root\r\n\r\n",
        Refused,
    ),
    (
        "the client's address under an underscore",
        "GET /p HTTP/1.1\r\nhost: a\r\nclient_ip: 192.0.2.1\r\n\r\n",
        Refused,
    ),
    (
        "our names with a dot",
        "GET /p HTTP/1.1\r\nhost: a\r\nportcullis.user: root\r\n\r\n",
        Refused,
    ),
    (
        "another path for WSGI",
        "GET /p/api/secret HTTP/1.1\r\nhost: a\r\nSCRIPT_NAME: /p\r\n\r\n",
        Refused,
    ),
    (
        "a WebSocket that is not granted, and a request behind",
        "GET /p HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{H}",
        Passes("GET /p 0"),
    ),
];
