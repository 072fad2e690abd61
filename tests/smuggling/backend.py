"""A real backend: Python's HTTP parser. It keeps what it understood, and tells it at /seen."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            whole = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return whole
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def handle_any(self):
        length = len(self.body())
        if self.path == "/seen":
            answer = "\n".join(seen).encode()
            seen.clear()
        else:
            seen.append(f"{self.command} {self.path} {length}")
            answer = b"ok"
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_any

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
