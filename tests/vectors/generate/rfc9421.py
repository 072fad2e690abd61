"""Writes rfc9421.json: what RFC 9421 itself gives, checked against the library while writing."""

import base64

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from http_sf.compat import Item
from message import Request, Response, b64, mac, signature_base, write

SECRET = base64.b64decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
REQUEST_DIGEST = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
RESPONSE_DIGEST = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:"

TEST_REQUEST = Request(
    "POST",
    "/foo?param=Value&Pet=dog",
    [
        ("Host", "example.com"),
        ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", REQUEST_DIGEST),
        ("Content-Length", "18"),
    ],
    b'{"hello": "world"}',
)
TEST_RESPONSE = Response(
    200,
    [
        ("Date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", RESPONSE_DIGEST),
        ("Content-Length", "23"),
    ],
    b'{"message": "good dog"}',
)


def query_param(name):
    item = Item("@query-param")
    item.params["name"] = name
    return item


BASES = [
    (
        "B.2.1",
        TEST_REQUEST,
        [],
        {"created": 1618884473, "keyid": "test-key-rsa-pss", "nonce": "b3k2pp5k7z-50gnwp.yemd"},
        '"@signature-params": ();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"',
    ),
    (
        "B.2.2",
        TEST_REQUEST,
        ["@authority", "content-digest", query_param("Pet")],
        {"created": 1618884473, "keyid": "test-key-rsa-pss", "tag": "header-example"},
        '"@authority": example.com\n'
        f'"content-digest": {REQUEST_DIGEST}\n'
        '"@query-param";name="Pet": dog\n'
        '"@signature-params": ("@authority" "content-digest" "@query-param";name="Pet")'
        ';created=1618884473;keyid="test-key-rsa-pss";tag="header-example"',
    ),
    (
        "B.2.3",
        TEST_REQUEST,
        ["date", "@method", "@path", "@query", "@authority", "content-type", "content-digest", "content-length"],
        {"created": 1618884473, "keyid": "test-key-rsa-pss"},
        '"date": Tue, 20 Apr 2021 02:07:55 GMT\n'
        '"@method": POST\n'
        '"@path": /foo\n'
        '"@query": ?param=Value&Pet=dog\n'
        '"@authority": example.com\n'
        '"content-type": application/json\n'
        f'"content-digest": {REQUEST_DIGEST}\n'
        '"content-length": 18\n'
        '"@signature-params": ("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" '
        '"content-length");created=1618884473;keyid="test-key-rsa-pss"',
    ),
    (
        "B.2.4",
        TEST_RESPONSE,
        ["@status", "content-type", "content-digest", "content-length"],
        {"created": 1618884473, "keyid": "test-key-ecc-p256"},
        '"@status": 200\n'
        '"content-type": application/json\n'
        f'"content-digest": {RESPONSE_DIGEST}\n'
        '"content-length": 23\n'
        '"@signature-params": ("@status" "content-type" "content-digest" "content-length")'
        ';created=1618884473;keyid="test-key-ecc-p256"',
    ),
    (
        "B.2.5",
        TEST_REQUEST,
        ["date", "@authority", "content-type"],
        {"created": 1618884473, "keyid": "test-shared-secret"},
        '"date": Tue, 20 Apr 2021 02:07:55 GMT\n'
        '"@authority": example.com\n'
        '"content-type": application/json\n'
        '"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
    ),
    (
        "B.2.6",
        TEST_REQUEST,
        ["date", "@method", "@path", "@authority", "content-type", "content-length"],
        {"created": 1618884473, "keyid": "test-key-ed25519"},
        '"date": Tue, 20 Apr 2021 02:07:55 GMT\n'
        '"@method": POST\n'
        '"@path": /foo\n'
        '"@authority": example.com\n'
        '"content-type": application/json\n'
        '"content-length": 18\n'
        '"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"',
    ),
    (
        "2.5",
        TEST_REQUEST,
        ["@method", "@authority", "@path", "content-digest", "content-length", "content-type"],
        {"created": 1618884473, "keyid": "test-key-rsa-pss"},
        '"@method": POST\n'
        '"@authority": example.com\n'
        '"@path": /foo\n'
        f'"content-digest": {REQUEST_DIGEST}\n'
        '"content-length": 18\n'
        '"content-type": application/json\n'
        '"@signature-params": ("@method" "@authority" "@path" "content-digest" "content-length" "content-type")'
        ';created=1618884473;keyid="test-key-rsa-pss"',
    ),
]
B_2_5_SIGNATURE = "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="

FIELDS = Request(
    "GET",
    "/",
    [
        ("Host", "www.example.com"),
        ("Date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("X-OWS-Header", "  Leading and trailing whitespace.   "),
        ("Cache-Control", "max-age=60"),
        ("Cache-Control", "   must-revalidate"),
        ("Example-Dict", " a=1,    b=2;x=1;y=2,   c=(a   b   c)"),
        ("X-Empty-Header", ""),
    ],
)


def www(method, target, host="www.example.com"):
    return Request(method, target, [("Host", host)])


LINES = [
    ("2.1", FIELDS, "host", "www.example.com"),
    ("2.1", FIELDS, "date", "Tue, 20 Apr 2021 02:07:56 GMT"),
    ("2.1", FIELDS, "x-ows-header", "Leading and trailing whitespace."),
    ("2.1", FIELDS, "cache-control", "max-age=60, must-revalidate"),
    ("2.1", FIELDS, "example-dict", "a=1,    b=2;x=1;y=2,   c=(a   b   c)"),
    ("2.1", FIELDS, "x-empty-header", ""),
    ("2.2.1", www("POST", "/path?param=value"), "@method", "POST"),
    ("2.2.3", www("POST", "/path?param=value"), "@authority", "www.example.com"),
    ("2.2.6", www("GET", "/path?param=value"), "@path", "/path"),
    (
        "2.2.7",
        www("GET", "/path?param=value&foo=bar&baz=bat%2Dman"),
        "@query",
        "?param=value&foo=bar&baz=bat%2Dman",
    ),
    ("2.2.7", www("POST", "/path?queryString"), "@query", "?queryString"),
    ("2.2.7", www("POST", "/path"), "@query", "?"),
]


# Appendix B.1.3 and B.1.4, and what B.2.4 and B.2.6 sign with them.
PUBLIC_KEY_SIGNATURES = [
    (
        "B.2.4",
        "ecdsa-p256-sha256",
        """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----""",
        "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
    ),
    (
        "B.2.6",
        "ed25519",
        """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----""",
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    ),
]


def public_key_vector(section, algorithm, pem, signature):
    key = serialization.load_pem_public_key(pem.encode())
    base = next(case[4] for case in BASES if case[0] == section)
    presented = base64.b64decode(signature)
    if algorithm == "ed25519":
        key.verify(presented, base.encode())
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    else:
        r, s = (int.from_bytes(half) for half in (presented[:32], presented[32:]))
        key.verify(utils.encode_dss_signature(r, s), base.encode(), ec.ECDSA(hashes.SHA256()))
        raw = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return {"section": section, "alg": algorithm, "public_key": b64(raw), "base": base, "signature": signature}


def base_vector(section, message, components, parameters, expected):
    base, member = signature_base(message, components, parameters)
    assert base == expected, (section, base, expected)
    vector = {"section": section, "signature_input": member, "base": expected}
    if isinstance(message, Request):
        return {**vector, "request": message.to_json(), "response": None}
    response = {
        "status": message.status_code,
        "headers": [list(pair) for pair in message.headers],
        "body": b64(message.body),
    }
    return {**vector, "request": None, "response": response}


def line_vector(section, request, component, value):
    base, _ = signature_base(request, [component], {})
    line = f'"{component}": {value}'
    assert base.split("\n")[0] == line, (section, base, line)
    return {"section": section, "request": request.to_json(), "component": component, "value": value, "line": line}


def main():
    hmac_base = next(case[4] for case in BASES if case[0] == "B.2.5")
    assert b64(mac(SECRET, hmac_base)) == B_2_5_SIGNATURE
    write(
        "rfc9421.json",
        {
            "source": "RFC 9421, HTTP Message Signatures, sections 2.1, 2.2, 2.5 and Appendix B.2",
            "generator": "generate/rfc9421.py, checked with http-message-signatures 3.0.0 (PyPI)",
            "hmac": [{"section": "B.2.5", "key": b64(SECRET), "base": hmac_base, "signature": B_2_5_SIGNATURE}],
            "public_key": [public_key_vector(*case) for case in PUBLIC_KEY_SIGNATURES],
            "bases": [base_vector(*case) for case in BASES],
            "lines": [line_vector(*case) for case in LINES],
        },
    )


main()
