# SPDX-License-Identifier: Apache-2.0
"""A server that behaves as its paths say, for the tests of HTTPClient. Prints its port, and ends with standard input."""

import gzip
import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Peer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        received = self.rfile.read(length).decode()
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match url.path:
            case "/echo":
                said = {"method": self.command, "body": received, "peer": self.client_address[1]}
                said["headers"] = {name.lower(): value for name, value in self.headers.items()}
                self.reply(200, json.dumps(said).encode(), X_Said="a, b")
            case "/status":
                self.reply(int(query["code"]), b"", Retry_After="7")
            case "/zipped":
                self.reply(200, gzip.compress(b"x" * int(query["bytes"])), Content_Encoding="gzip")
            case "/not-zipped":
                self.reply(200, b"this is no gzip", Content_Encoding="gzip")
            case "/bytes":
                self.reply(200, b"x" * int(query["bytes"]))
            case "/redirect":
                self.reply(int(query.get("code", 302)), b"", Location=query["to"])
            case "/set-cookie":
                self.reply(200, b"", Set_Cookie="A3=secret; Path=/")
            case "/hang":
                time.sleep(60)
            case "/slow":
                self.send_response(200)
                self.send_header("Content-Length", "100000")
                self.end_headers()
                for _ in range(120):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.5)
            case "/cut":
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"half")
                self.close_connection = True
            case "/garbage":
                self.wfile.write(b"\x00\x01 this is not HTTP\r\n\r\n")
                self.close_connection = True

    do_GET = do_HEAD = do_POST = answer


server = ThreadingHTTPServer(("127.0.0.1", 0), Peer)
server.daemon_threads = True
if len(sys.argv) == 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
