"""Signs the calls of a program for the Portcullis gate. Python 3.9 or newer, standard library only."""

import base64
import hashlib
import hmac
import http.client
import json
import re
import secrets
import sys
import threading
import time
from urllib.parse import urlsplit

GATE = "/.well-known/portcullis/"


class Client:
    """One session. Make one for a process and share it between threads."""

    def __init__(self, origin, user_agent):
        self.origin = urlsplit(origin)
        self.user_agent = user_agent  # the session is bound to it: keep it the same
        self.lock = threading.Lock()
        self.session = None

    def request(self, method, target, body=b"", headers=None):
        """Sends a call and returns (status, headers, body). `target` is a path and query, already percent-encoded."""
        headers = {name.lower(): value for name, value in (headers or {}).items()}
        nonce = None
        for _ in range(3):
            with self.lock:
                self.session = self.session or self.open()
                session = self.session
            signed = self.sign(session, nonce or self.next_nonce(session), method, target, body, headers)
            status, fields, content = self.send(method, target, body, {**headers, **signed})
            if status != 401:
                break
            recovered, nonce = self.recover(session, fields, content)
            if not recovered:
                break
        return status, fields, content

    def sign(self, session, nonce, method, target, body, headers):
        path, _, query = target.partition("?")
        covered = {
            "@method": method,
            "@authority": self.authority(),
            "@path": path,
            "@query": f"?{query}",
        }
        signed = {}
        if body:
            signed["content-digest"] = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
            covered["content-digest"] = signed["content-digest"]
            if "content-type" in headers:
                covered["content-type"] = headers["content-type"]
        names = " ".join(f'"{name}"' for name in covered)
        parameters = (
            f'({names});created={int(time.time() + session["offset"])};nonce="{nonce}"'
            f';keyid="{session["id"]}";alg="hmac-sha256";tag="portcullis-1"'
        )
        lines = [f'"{name}": {value}' for name, value in covered.items()]
        base = "\n".join([*lines, f'"@signature-params": {parameters}'])
        mac = hmac.digest(session["key"], base.encode(), "sha256")
        signed["signature-input"] = f"sig={parameters}"
        signed["signature"] = f"sig=:{base64.b64encode(mac).decode()}:"
        return signed

    def recover(self, session, fields, content):
        """Whether the call may be signed again, and with which nonce if the gate wants one."""
        problem = json.loads(content) if "problem+json" in fields.get("content-type", "") else {}
        name = problem.get("type", "").rpartition("/")[2]
        if name in ("signature-expired", "signature-from-future"):
            session["offset"] = problem["server_time"] - time.time()
            return True, None
        if name == "fresh-nonce-required":
            offered = re.search(r'nonce="(~[\w-]+)\.0"', fields.get("accept-signature", ""))
            with self.lock:
                session["stream"], session["counter"] = offered[1], 1
            return True, f"{offered[1]}.0"
        if name in ("session-invalid", "signature-invalid", "reauthentication-required"):
            with self.lock:
                if self.session is session:
                    self.session = None
            return True, None
        return False, None

    def next_nonce(self, session):
        with self.lock:
            session["counter"] += 1
            return f'{session["stream"]}.{session["counter"] - 1}'

    def open(self):
        wish = {"key_agreement": "server-key"}
        for _ in range(4):
            body = json.dumps(wish).encode()
            status, _, content = self.send("POST", f"{GATE}session", body, {"content-type": "application/json"})
            answer = json.loads(content)
            if status == 201:
                return {
                    "id": answer["session_id"],
                    "key": base64.urlsafe_b64decode(answer["key"] + "=="),
                    "offset": answer["server_time"] - time.time(),
                    "stream": secrets.token_urlsafe(16),
                    "counter": 0,
                }
            if "work" not in answer:
                break
            wish["work"] = solve(answer["work"])
        raise RuntimeError(f"no session: {status} {content.decode()}")

    def authority(self):
        default = {"http": 80, "https": 443}[self.origin.scheme]
        port = self.origin.port or default
        return self.origin.hostname if port == default else f"{self.origin.hostname}:{port}"

    def send(self, method, target, body, headers):
        is_tls = self.origin.scheme == "https"
        connect = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        connection = connect(self.origin.hostname, self.origin.port, timeout=30)
        try:
            headers = {**headers, "host": self.authority(), "user-agent": self.user_agent}
            connection.request(method, target, body or None, headers)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, fields, answer.read()
        finally:
            connection.close()


def solve(work):
    """The proof of work that the gate may ask for before it opens a session."""
    answers = []
    for puzzle in range(work["count"]):
        begun = hashlib.sha256(f'{work["challenge"]}.{puzzle}.'.encode())
        number = 0
        while True:
            attempt = begun.copy()
            attempt.update(str(number).encode())
            if int.from_bytes(attempt.digest()[:4], "big") >> (32 - work["bits"]) == 0:
                break
            number += 1
        answers.append(number)
    return {"challenge": work["challenge"], "answers": answers}


if __name__ == "__main__":
    client = Client(sys.argv[1], "shop-importer/1.0")
    for method, target, body in [
        ("GET", "/api/orders?from=2026-01-01", b""),
        ("POST", "/api/orders", json.dumps({"item": "Winch"}).encode()),
    ]:
        status, _, content = client.request(method, target, body, {"content-type": "application/json"} if body else None)
        print(status, content.decode())
