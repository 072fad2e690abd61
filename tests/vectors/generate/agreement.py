"""Writes agreement.json: key derivation of `ecdh-p256` (docs/protocol.md section 1), by the library `cryptography`."""

import base64
import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from message import write

INFO = b"portcullis-1/ecdh-p256/hmac-sha256\0"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def b64url(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def private_key(seed):
    scalar = int.from_bytes(hashlib.sha256(f"portcullis test vector: {seed}".encode()).digest(), "big")
    return ec.derive_private_key(scalar % (ORDER - 1) + 1, ec.SECP256R1())


def scalar(key):
    return key.private_numbers().private_value.to_bytes(32, "big")


def point(key):
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def jwk(key):
    x, y = point(key)[1:33], point(key)[33:]
    return {"kty": "EC", "crv": "P-256", "x": b64url(x), "y": b64url(y), "d": b64url(scalar(key))}


def shared_secret(client, gate):
    return gate.exchange(ec.ECDH(), client.public_key())


def vector(name, client, gate, salt):
    secret = shared_secret(client, gate)
    info = INFO + point(client) + point(gate)
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(secret)
    return {
        "name": name,
        "client_private_jwk": jwk(client),
        "client_public": b64url(point(client)),
        "gate_private": b64url(scalar(gate)),
        "gate_public": b64url(point(gate)),
        "salt": b64url(salt),
        "shared_secret": b64url(secret),
        "key": b64url(key),
    }


def with_leading_zero(client):
    """A gate key for which the shared secret begins with a zero byte, where lazy implementations drop it."""
    return next(gate for gate in map(private_key, range(100_000)) if shared_secret(client, gate)[0] == 0)


def refused_points():
    good = point(private_key("point"))
    off_curve = good[:-1] + bytes([good[-1] ^ 1])
    return {
        "empty": b"",
        "infinity": b"\0",
        "one byte short": good[:-1],
        "one byte long": good + b"\0",
        "compressed": bytes([2 + (good[-1] & 1)]) + good[1:33],
        "hybrid form": bytes([6 + (good[-1] & 1)]) + good[1:],
        "not on the curve": off_curve,
        "zero": b"\4" + bytes(64),
        "x beyond the field": b"\4" + b"\xff" * 32 + good[33:],
    }


def main():
    client, gate = private_key("client"), private_key("gate")
    salt = hashlib.sha256(b"portcullis test vector: salt").digest()
    write(
        "agreement.json",
        {
            "source": "docs/protocol.md section 1; ECDH on P-256 (SEC 1), HKDF (RFC 5869)",
            "generator": "generate/agreement.py with cryptography 50.0.2 (PyPI)",
            "vectors": [
                vector("plain", client, gate, salt),
                vector("other salt", client, gate, bytes(32)),
                vector("secret with a leading zero", client, with_leading_zero(client), salt),
            ],
            "refused_public_keys": [{"name": n, "public_key": b64url(p)} for n, p in refused_points().items()],
        },
    )


main()
