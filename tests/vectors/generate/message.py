"""Messages, and their signature bases by the library `http-message-signatures`."""

import base64
import json
from pathlib import Path

from http_message_signatures import HTTPMessageSigner, algorithms
from http_sf.compat import Dictionary, InnerList, Item

VECTORS = Path(__file__).resolve().parent.parent


class Headers(list):
    """Name-value pairs in the order of the wire, with repetitions."""

    def items(self):
        return list(self)


class Request:
    def __init__(self, method, target, headers, body=b"", scheme="https"):
        self.method = method
        self.target = target
        self.headers = Headers(headers)
        self.body = body
        self.scheme = scheme

    @property
    def url(self):
        host = next(value for name, value in self.headers if name.lower() == "host")
        return f"{self.scheme}://{host}{self.target}"

    def to_json(self):
        return {
            "scheme": self.scheme,
            "method": self.method,
            "target": self.target,
            "headers": [list(pair) for pair in self.headers],
            "body": b64(self.body),
        }


class Response:
    def __init__(self, status_code, headers, body=b""):
        self.status_code = status_code
        self.headers = Headers(headers)
        self.body = body
        self.request = None


def signature_base(message, components, parameters):
    """The base, and the member of Signature-Input. `parameters` keep their order."""
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256)
    nodes = [name if isinstance(name, Item) else Item(name) for name in components]
    base, member, _ = signer._build_signature_base(message, covered_component_ids=nodes, signature_params=parameters)
    return base, str(member)


def mac(key, base):
    return algorithms.HMAC_SHA256(private_key=key).sign(base.encode())


def input_only(components, parameters):
    """A member of Signature-Input for which no base can be built."""
    member = InnerList([name if isinstance(name, Item) else Item(name) for name in components])
    member.params.update(parameters)
    return str(member)


def byte_sequence(value):
    return str(Dictionary({"x": value}))[2:]


def b64(value):
    return base64.b64encode(value).decode()


def write(name, content):
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (VECTORS / name).write_text(text + "\n")
