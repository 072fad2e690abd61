"""Writes profile.json: calls signed as docs/protocol.md says, and the same calls with one thing wrong.

Bases and MACs come from the library `http-message-signatures`; neither the gate nor the SDK has a part in this.
"""

import hashlib

from http_sf.compat import Item, Token
from message import Request, b64, byte_sequence, input_only, mac, signature_base, write

NOW = 1800000012
KEY = hashlib.sha256(b"portcullis test vector: session key").digest()
OTHER_KEY = hashlib.sha256(b"portcullis test vector: another key").digest()
SESSION = "AQ3fYm94LXNlc3Npb24tdG9rZW4tZm9yLXRlc3RzLW9ubHk"
NONCE = "q1Zx8Rk0pA2m.0"
BARE = ["@method", "@authority", "@path", "@query"]
WITH_BODY = [*BARE, "content-digest", "content-type"]
JSON_BODY = '{"item":"Brücke","count":2}'.encode()
JSON_TYPE = ("Content-Type", "application/json")


def parameters(**changes):
    """The parameters in the order of the protocol's example; None leaves one out."""
    plain = {"created": NOW, "nonce": NONCE, "keyid": SESSION, "alg": "hmac-sha256", "tag": "portcullis-1"}
    return {name: value for name, value in {**plain, **changes}.items() if value is not None}


def digest(body, algorithm="sha-256"):
    value = hashlib.new(algorithm.replace("-", ""), body).digest()
    return f"{algorithm}={byte_sequence(value)}"


def get(target="/api/orders/7?full=1", host="shop.example", headers=(), method="GET", scheme="https"):
    return Request(method, target, [("Host", host), *headers], scheme=scheme)


def post(body=JSON_BODY, headers=(JSON_TYPE,), target="/api/orders", method="POST", content_digest=None):
    length = ("Content-Length", str(len(body)))
    fields = [("Host", "shop.example"), *headers, ("Content-Digest", content_digest or digest(body)), length]
    return Request(method, target, fields, body)


def component(name, /, **params):
    item = Item(name)
    item.params.update(params)
    return item


class Signed:
    """A request, and what a signer adds to it."""

    def __init__(self, request, components=None, params=None, key=KEY, label="portcullis"):
        self.request = request
        self.label = label
        self.base, self.input = signature_base(
            request, components or (WITH_BODY if request.body else BARE), params or parameters()
        )
        self.signature = mac(key, self.base)

    def fields(self, label=None, signature_input=None, signature=None):
        label = label or self.label
        value = byte_sequence(self.signature if signature is None else signature)
        return [
            ("Signature-Input", f"{label}={signature_input or self.input}"),
            ("Signature", f"{label}={value}"),
        ]


def vector(name, request, fields, problems, note=None, signed=None, now=NOW):
    shown = signed if not problems else None
    message = request.to_json()
    message["headers"] += [list(field) for field in fields]
    return {
        "name": name,
        "note": note,
        "now": now,
        "key": b64(KEY),
        "session_id": SESSION,
        "request": message,
        "problems": problems,
        "label": shown and shown.label,
        "base": shown and shown.base,
        "signature": shown and b64(shown.signature),
    }


def valid(name, request, components=None, params=None, label="portcullis", note=None, now=NOW):
    signed = Signed(request, components, params, label=label)
    return vector(name, request, signed.fields(), [], note, signed, now)


def refused(name, problems, request=None, components=None, params=None, key=KEY, note=None, now=NOW):
    """Properly signed, but not what the profile asks for."""
    request = request or get()
    signed = Signed(request, components, params, key)
    return vector(name, request, signed.fields(), listed(problems), note, now=now)


def tampered(name, problems, change, note=None):
    """Signed as it should be, then changed on the way."""
    signed = Signed(post(target="/api/orders?a=1&b=2"))
    fields = signed.fields()
    request = signed.request
    changed = change(request, fields) or (request, fields)
    return vector(name, changed[0], changed[1], listed(problems), note)


def raw(name, problems, fields, note=None, request=None):
    return vector(name, request or get(), fields, listed(problems), note)


def listed(problems):
    return [problems] if isinstance(problems, str) else problems


def replaced(fields, name, old, new):
    out = [(field, value.replace(old, new) if field == name else value) for field, value in fields]
    assert out != fields, (name, old)
    return out


def with_headers(request, change):
    return Request(request.method, request.target, change(request.headers), request.body, request.scheme)


def valid_vectors():
    yield valid("get", get())
    yield valid("no-query", get("/api/orders"))
    yield valid("bare-question-mark", get("/api/orders?"), note="@query is ? either way")
    yield valid("root", get("/"))
    yield valid("nasty-query", get("/api?a=1&a=&=&a=%20+%2B&q=%E6%97%A5?x=/y;z"))
    yield valid("percent-encoded-path", get("/api/%7euser/%E4%bd%a0%20x"), note="signed as sent, not normalised")
    yield valid("odd-path", get("/api//double/b,c:d@e!$&'()*+=/./x/../y"))
    yield valid("authority-in-capitals", get(host="Shop.EXAMPLE"))
    yield valid("default-port-https", get(host="shop.example:443"))
    yield valid("default-port-http", get(host="shop.example:80", scheme="http"))
    yield valid("port-443-is-not-the-default-of-http", get(host="shop.example:443", scheme="http"))
    yield valid("other-port", get(host="shop.example:8443"))
    yield valid("ipv6-authority", get(host="[2001:DB8::1]:8443"))
    for method in ["HEAD", "DELETE", "OPTIONS", "PURGE"]:
        yield valid(f"method-{method.lower()}", get(method=method))
    yield valid("post-json", post())
    yield valid(
        "put-multipart",
        post(b"--x\r\n\r\n\x00\xff\r\n--x--", [("content-type", 'multipart/form-data; boundary="x"')], method="PUT"),
    )
    yield valid("body-without-content-type", post(headers=()), [*BARE, "content-digest"])
    yield valid("body-chunked", chunked())
    yield valid("body-empty", empty_post(), BARE, note="Content-Length: 0 is no body")
    yield valid("digest-by-two-algorithms", post(content_digest=f"{digest(JSON_BODY, 'sha-512')}, {digest(JSON_BODY)}"))
    yield valid("digest-with-unknown-algorithm", post(content_digest=f"{digest(JSON_BODY)}, unknown=:AAAA:"))
    yield valid("components-reversed", post(), WITH_BODY[::-1])
    yield valid(
        "components-shuffled", post(), ["content-type", "@query", "@authority", "content-digest", "@path", "@method"]
    )
    backwards = dict(reversed(parameters().items()))
    yield valid("parameters-reversed", get(), params=backwards)
    yield valid("extra-field", get(headers=[("Accept", "application/json")]), ["accept", *BARE])
    extra = [("X-Trace", "  a, b\tc "), ("X-Empty", ""), ("X-Trace", "d")]
    yield valid("extra-fields-repeated-empty-padded", get(headers=extra), [*BARE, "x-trace", "x-empty"])
    yield valid("content-type-covered-without-body", get(headers=[JSON_TYPE]), [*BARE, "content-type"])
    odd = {
        **parameters(),
        "x-count": 3,
        "x-flag": True,
        "x-off": False,
        "x-token": Token("a/b"),
        "x-text": 'q"\\',
        "x-bytes": b"\x00\xff",
    }
    yield valid("extra-parameters-of-every-type", get(), params=odd, note="rebuild from the raw parameters")
    yield valid("extra-parameter-first", get(), params={"a": 1.5, **parameters()})
    yield valid("expires-later", get(), params=parameters(expires=NOW + 10))
    yield valid("created-oldest", get(), params=parameters(created=NOW - 30))
    yield valid("created-furthest-ahead", get(), params=parameters(created=NOW + 5))
    yield valid("nonce-of-the-gate", get(), params=parameters(nonce="~AZ3kQm5vdC1hLXNlY3JldA9Q.0"))
    yield valid("nonce-highest-counter", get(), params=parameters(nonce=f"q1Zx8Rk0pA2m.{2**48 - 1}"))
    yield valid("nonce-longest-stream", get(), params=parameters(nonce=f"{'aZ0-_' * 6}aZ.7"))
    yield valid("nonce-shortest-stream", get(), params=parameters(nonce="-_-_-_-_.7"))
    yield valid("label-odd", get(), label="*a-b_c.d*9")
    yield from valid_among_others()


def chunked():
    headers = [
        ("Host", "shop.example"),
        JSON_TYPE,
        ("Content-Digest", digest(JSON_BODY)),
        ("Transfer-Encoding", "chunked"),
    ]
    return Request("POST", "/api/orders", headers, JSON_BODY)


def empty_post():
    return Request("POST", "/api/orders", [("Host", "shop.example"), ("Content-Length", "0")])


def valid_among_others():
    signed = Signed(get())
    foreign = Signed(get(), ["@path"], {"created": 1, "keyid": "proxy", "tag": "other"}, OTHER_KEY, "proxy")
    ours, theirs = signed.fields(), foreign.fields()
    joined = [(name, f"{a}, {b}") for (name, a), (_, b) in zip(theirs, ours)]
    yield vector("label-after-another", get(), joined, [], None, signed)
    split = [theirs[0], ours[0], ours[1], theirs[1]]
    yield vector(
        "labels-on-lines-of-their-own", get(), split, [], "the two fields name the labels in another order", signed
    )
    untagged = Signed(get(), ["@path"], {"created": 1}, OTHER_KEY, "sig1")
    before = [(name, f"{a},{b}") for (name, a), (_, b) in zip(untagged.fields(), ours)]
    yield vector("label-after-one-without-tag", get(), before, [], None, signed)
    in_lower_case = [(name.lower(), value) for name, value in ours]
    yield vector("field-names-in-lower-case", get(), in_lower_case, [], None, signed)


def refused_vectors():
    for name in BARE:
        rest = [other for other in BARE if other != name]
        yield refused(f"not-covered-{name[1:]}", "signature-incomplete", components=rest)
    yield refused(
        "nothing-covered", "signature-incomplete", components=["accept"], request=get(headers=[("Accept", "*/*")])
    )
    yield refused("not-covered-content-digest", "signature-incomplete", post(), [*BARE, "content-type"])
    yield refused("not-covered-content-type", "signature-incomplete", post(), [*BARE, "content-digest"])
    for name in ["created", "nonce", "keyid", "alg"]:
        yield refused(f"parameter-missing-{name}", "signature-malformed", params=parameters(**{name: None}))
    yield refused("parameter-missing-tag", "signature-required", params=parameters(tag=None))
    yield refused("other-tag", "signature-required", params=parameters(tag="portcullis-2"))
    for title, nonce in {
        "empty": "",
        "without-counter": "q1Zx8Rk0pA2m",
        "with-empty-counter": "q1Zx8Rk0pA2m.",
        "with-leading-zero": "q1Zx8Rk0pA2m.01",
        "with-sign": "q1Zx8Rk0pA2m.+1",
        "counter-too-high": f"q1Zx8Rk0pA2m.{2**48}",
        "counter-of-20-digits": "q1Zx8Rk0pA2m.18446744073709551617",
        "stream-too-short": "q1Zx8Rk.0",
        "stream-too-long": f"{'a' * 33}.0",
        "stream-with-a-space": "q1Zx8Rk0 pA2m.0",
        "with-two-dots": "q1Zx8Rk0.pA2m.0",
        "tilde-inside": "q1Zx8~Rk0pA2m.0",
    }.items():
        yield refused(f"nonce-{title}", "signature-malformed", params=parameters(nonce=nonce))
    yield refused("created-too-old", "signature-expired", params=parameters(created=NOW - 31))
    yield refused("created-in-1970", "signature-expired", params=parameters(created=0))
    yield refused("created-negative", "signature-expired", params=parameters(created=-1))
    yield refused("created-too-far-ahead", "signature-from-future", params=parameters(created=NOW + 6))
    yield refused("created-far-ahead", "signature-from-future", params=parameters(created=999_999_999_999_999))
    yield refused("expires-passed", "signature-expired", params=parameters(created=NOW - 10, expires=NOW - 1))
    yield refused(
        "expires-does-not-prolong", "signature-expired", params=parameters(created=NOW - 31, expires=NOW + 60)
    )
    yield refused("other-key", "signature-invalid", key=OTHER_KEY)
    yield refused("other-alg", "signature-invalid", params=parameters(alg="hmac-sha512"))
    yield refused(
        "digest-of-another-algorithm-only", "digest-required", post(content_digest=digest(JSON_BODY, "md5"))
    )
    yield refused("digest-of-another-body", "digest-mismatch", post(content_digest=digest(b"{}")))
    yield refused("digest-too-short", ["digest-mismatch", "digest-required"], post(content_digest="sha-256=:AAAA:"))
    yield refused("digest-malformed", ["digest-required", "signature-malformed"], post(content_digest="sha-256=AAAA"))
    flagged = [*BARE, component("accept", bs=True)]
    accept = get(headers=[("Accept", "*/*")])
    yield refused("component-with-parameter", "signature-malformed", accept, flagged)
    yield refused(
        "component-query-param", "signature-malformed", components=[*BARE, component("@query-param", name="full")]
    )
    yield refused(
        "component-target-uri",
        ["signature-malformed", "signature-invalid"],
        components=[*BARE, "@target-uri"],
        note="not in the profile's list; a gate need not know it",
    )


def tampered_vectors():
    def request_with(**changes):
        def change(request, fields):
            kept = {
                "method": request.method,
                "target": request.target,
                "headers": request.headers,
                "body": request.body,
            }
            return Request(**{**kept, **changes}), fields

        return change

    def field_with(field, old, new):
        return lambda request, fields: (request, replaced(fields, field, old, new))

    def header_with(header, new):
        return lambda request, fields: (
            with_headers(request, lambda headers: [(n, new if n == header else v) for n, v in headers]),
            fields,
        )

    yield tampered("method-changed", "signature-invalid", request_with(method="PUT"))
    yield tampered("method-in-lower-case", "signature-invalid", request_with(method="post"))
    yield tampered("path-changed", "signature-invalid", request_with(target="/api/order?a=1&b=2"))
    yield tampered("path-in-capitals", "signature-invalid", request_with(target="/api/Orders?a=1&b=2"))
    yield tampered("path-with-slash-added", "signature-invalid", request_with(target="/api/orders/?a=1&b=2"))
    yield tampered("path-encoded-otherwise", "signature-invalid", request_with(target="/api/%6frders?a=1&b=2"))
    yield tampered("query-changed", "signature-invalid", request_with(target="/api/orders?a=1&b=3"))
    yield tampered("query-in-other-order", "signature-invalid", request_with(target="/api/orders?b=2&a=1"))
    yield tampered("query-removed", "signature-invalid", request_with(target="/api/orders"))
    yield tampered("query-moved-into-path", "signature-invalid", request_with(target="/api/orders%3Fa=1&b=2"))
    yield tampered("authority-changed", "signature-invalid", header_with("Host", "shop.example.org"))
    yield tampered("authority-with-port-added", "signature-invalid", header_with("Host", "shop.example:8443"))
    yield tampered("content-type-changed", "signature-invalid", header_with("Content-Type", "text/plain"))
    yield tampered("content-type-in-capitals", "signature-invalid", header_with("Content-Type", "Application/JSON"))
    yield tampered("body-changed", "digest-mismatch", lambda r, f: (with_body(r, JSON_BODY[:-1] + b" "), f))
    yield tampered("body-and-digest-changed", "signature-invalid", lambda r, f: (post(b"{}", target=r.target), f))
    yield tampered("created-changed", "signature-invalid", field_with("Signature-Input", str(NOW), str(NOW + 1)))
    yield tampered("nonce-changed", "signature-invalid", field_with("Signature-Input", NONCE, "q1Zx8Rk0pA2m.1"))
    yield tampered("parameter-added", "signature-invalid", field_with("Signature-Input", ";tag=", ";x;tag="))
    yield tampered(
        "parameters-swapped",
        "signature-invalid",
        field_with("Signature-Input", f';keyid="{SESSION}";alg="hmac-sha256"', f';alg="hmac-sha256";keyid="{SESSION}"'),
    )
    yield tampered(
        "components-swapped",
        "signature-invalid",
        field_with("Signature-Input", '"@method" "@authority"', '"@authority" "@method"'),
    )
    yield tampered(
        "component-added",
        "signature-invalid",
        field_with("Signature-Input", '"content-type")', '"content-type" "host")'),
    )
    yield tampered("mac-with-one-bit-flipped", "signature-invalid", flip_last_bit)
    yield tampered(
        "mac-truncated", "signature-invalid", lambda r, f: (r, Signed(r).fields(signature=Signed(r).signature[:16]))
    )
    yield tampered("mac-empty", "signature-invalid", lambda r, f: (r, Signed(r).fields(signature=b"")))
    yield tampered(
        "mac-doubled", "signature-invalid", lambda r, f: (r, Signed(r).fields(signature=Signed(r).signature * 2))
    )


def with_body(request, body):
    assert len(body) == len(request.body)
    return Request(request.method, request.target, request.headers, body, request.scheme)


def flip_last_bit(request, _):
    signed = Signed(request)
    return request, signed.fields(signature=signed.signature[:-1] + bytes([signed.signature[-1] ^ 1]))


def malformed_vectors():
    signed = Signed(get())
    (name_i, value_i), (name_s, value_s) = signed.fields()
    bare_input, bare_mac = value_i.partition("=")[2], value_s.partition("=")[2]

    def both(signature_input, signature=value_s):
        return [("Signature-Input", signature_input), ("Signature", signature)]

    yield raw("no-signature", "signature-required", [])
    yield raw("signature-input-alone", ["signature-malformed", "signature-required"], [(name_i, value_i)])
    yield raw("signature-alone", "signature-required", [(name_s, value_s)])
    yield raw(
        "labels-differ",
        ["signature-malformed", "signature-required"],
        both(value_i, value_s.replace("portcullis=", "other=")),
    )
    yield raw("two-with-our-tag", "signature-ambiguous", both(f"{value_i}, b={bare_input}", f"{value_s}, b={bare_mac}"))
    yield raw("duplicate-label", "signature-ambiguous", both(f"{value_i}, {value_i}", value_s))
    yield raw(
        "duplicate-label-on-two-lines", "signature-ambiguous", [(name_i, value_i), (name_i, value_i), (name_s, value_s)]
    )
    yield raw("duplicate-label-of-signature", "signature-ambiguous", both(value_i, f"{value_s}, {value_s}"))
    yield raw("not-a-dictionary", "signature-malformed", both("((((", value_s))
    yield raw("input-is-no-inner-list", "signature-malformed", both('portcullis="x";tag="portcullis-1"'))
    yield raw("signature-is-a-string", "signature-malformed", both(value_i, 'portcullis="abc"'))
    yield raw("signature-is-no-base64", "signature-malformed", both(value_i, "portcullis=:?:"))
    yield raw("created-is-a-decimal", "signature-malformed", both(value_i.replace(str(NOW), f"{NOW}.5")))
    yield raw("created-is-a-string", "signature-malformed", both(value_i.replace(str(NOW), f'"{NOW}"')))
    yield raw("nonce-is-a-token", "signature-malformed", both(value_i.replace(f'"{NONCE}"', "q1Zx8Rk0pA2m")))
    yield raw("expires-is-a-string", "signature-malformed", both(value_i + ';expires="later"'))
    yield raw("component-is-a-token", "signature-malformed", both(value_i.replace('"@path"', "path")))
    absent = input_only([*BARE, "x-absent"], parameters())
    yield raw("covered-field-absent", ["signature-malformed", "signature-invalid"], both(f"portcullis={absent}"))
    twice = input_only([*BARE, "@path"], parameters())
    yield raw(
        "component-twice",
        ["signature-malformed", "signature-invalid", "signature-ambiguous"],
        both(f"portcullis={twice}"),
    )
    status = input_only([*BARE, "@status"], parameters())
    yield raw("component-of-a-response", ["signature-malformed", "signature-invalid"], both(f"portcullis={status}"))


def main():
    vectors = [*valid_vectors(), *refused_vectors(), *tampered_vectors(), *malformed_vectors()]
    names = [item["name"] for item in vectors]
    assert len(set(names)) == len(names), sorted(names)
    write(
        "profile.json",
        {
            "source": "docs/protocol.md, profile portcullis-1",
            "generator": "generate/profile.py with http-message-signatures 3.0.0 (PyPI)",
            "vectors": vectors,
        },
    )
    print(len(vectors), "vectors,", sum(not item["problems"] for item in vectors), "valid")


main()
