# SPDX-License-Identifier: Apache-2.0
"""A service over HTTP or HTTPS that a test drives: what it is asked is kept, and it misbehaves on demand."""
import json
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


def certificates(folder):
    """An authority and a certificate for 127.0.0.1, made by openssl; the paths of CA, certificate and key."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=Test authority", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-new", *key, "-subj", "/CN=double", "-keyout", "leaf.key", "-out", "leaf.csr")
    (folder / "leaf.ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", "leaf.csr", "-days", "2", "-extfile", "leaf.ext", "-CA", "ca.pem", "-CAkey",
            "ca.key", "-out", "leaf.pem")
    return folder / "ca.pem", folder / "leaf.pem", folder / "leaf.key"


class Request:
    def __init__(self, method, path, query, headers):
        self.method, self.path, self.query, self.headers = method, path, query, headers
        self.at = time.monotonic()


class Service:
    """Subclasses answer in `handle(request)` with (status, headers, object or bytes)."""

    def __init__(self, certificate=None, key=None):
        self.lock = threading.RLock()
        self.requests = []
        self.misdeeds = []
        self.stopping = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # A handshake that never ends must not hold the others.
            timeout = 60

            def log_message(self, *_):
                pass

            def do_GET(self):
                service.serve(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False)
            self.scheme = "https"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def misbehave(self, deed, path="/"):
        """The next request below `path` meets with `deed`: a status (`429`, `429:SECONDS` with Retry-After, `503`),
        `garbage`, `truncated`, `drop`, `slow`, or `redirect:URL`."""
        with self.lock:
            self.misdeeds.append((deed, path))

    def done(self):
        """Whether every misdeed has happened."""
        with self.lock:
            return not self.misdeeds

    def asked(self, path):
        with self.lock:
            return [request for request in self.requests if request.path.startswith(path)]

    def serve(self, handler):
        url = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        request = Request(handler.command, unquote(url.path), query, handler.headers)
        with self.lock:
            self.requests.append(request)
            deed = next((deed for deed in self.misdeeds if request.path.startswith(deed[1])), None)
            if deed:
                self.misdeeds.remove(deed)
        if deed:
            return self.do(deed[0], handler, request)
        status, headers, body = self.handle(request)
        self.reply(handler, status, headers, body)

    def reply(self, handler, status, headers, body, cut=None):
        if not isinstance(body, bytes):
            headers = {"Content-Type": "application/json", **headers}
            body = json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def do(self, deed, handler, request):
        name, _, value = deed.partition(":")
        if name.isdigit():
            self.reply(handler, int(name), {"Retry-After": value} if value else {}, b"Too Many Requests")
        elif name == "garbage":
            self.reply(handler, 200, {}, b"<html><body>Be right back</body></html>")
        elif name == "truncated":
            status, headers, body = self.handle(request)
            whole = json.dumps(body).encode()
            self.reply(handler, status, headers, whole[: len(whole) // 2])
        elif name == "drop":
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif name == "slow":
            # Slower than any client bears: a byte now and then of many.
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            while not self.stopping.wait(0.5):
                handler.wfile.write(b" ")
                handler.wfile.flush()
        elif name == "redirect":
            self.reply(handler, 302, {"Location": value}, b"")
        else:
            raise ValueError(deed)
