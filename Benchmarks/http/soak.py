#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A million short connections to our HTTP server, and what they leave behind.

Most are what a client without keep-alive does; others end as connections end in the field: by the server, by a reset in
the middle of a head, of a body or of a pipelined burst, without a word, in a TLS handshake, in a WebSocket. Every
answer is checked. Memory and descriptors of the server are printed on the way; the program fails if, after a settling
tenth, there are more descriptors than at the beginning or memory keeps growing.
"""
import argparse
import itertools
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

import run

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
UPGRADE = (b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
# "hello", masked with zeros (RFC 6455 §5.2), its echo, and a close with its answer.
HELLO, ECHO = b"\x81\x85\0\0\0\0hello", b"\x81\x05hello"
CLOSE, CLOSED = b"\x88\x82\0\0\0\0\x03\xe8", b"\x88\x02\x03\xe8"
BODY = run.BODY.encode()
RESET = struct.pack("ii", 1, 0)


class Soak:
    def __init__(self, plain, secure, context):
        self.plain, self.secure, self.context = plain, secure, context
        self.session = None
        # Each address of the client's has ports of its own: those of closed connections are taken for a minute.
        self.addresses = itertools.cycle(f"127.0.{i // 250}.{i % 250 + 1}" for i in range(2500))
        self.count = 0

    def connect(self, port):
        self.count += 1
        peer = socket.socket()
        peer.settimeout(60)
        peer.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        peer.bind((next(self.addresses), 0))
        peer.connect(("127.0.0.1", port))
        return peer

    @staticmethod
    def expect(peer, end, times=1):
        got = b""
        while got.count(end) < times:
            more = peer.recv(65536)
            if not more:
                sys.exit(f"the server closed after {got!r}")
            got += more

    def ask(self, request=GET):
        with self.connect(self.plain) as peer:
            peer.sendall(request)
            self.expect(peer, BODY)
            if request is CLOSING and peer.recv(1):
                sys.exit("bytes after the end")

    def reset(self, first):
        with self.connect(self.plain) as peer:
            peer.sendall(first)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def over_tls(self, resumes):
        with self.connect(self.secure) as bare:
            with self.context.wrap_socket(bare, server_hostname="localhost",
                                          session=self.session if resumes else None) as peer:
                peer.sendall(GET)
                self.expect(peer, BODY)
                self.session = peer.session

    def torn_handshake(self):
        with self.connect(self.secure) as peer:
            peer.sendall(b"\x16\x03\x01\x02\x00\x01")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def websocket(self, closes):
        with self.connect(self.plain) as peer:
            peer.sendall(UPGRADE)
            self.expect(peer, b"\r\n\r\n")
            peer.sendall(HELLO)
            self.expect(peer, ECHO)
            if closes:
                peer.sendall(CLOSE)
                self.expect(peer, CLOSED)
            else:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def hundred(self):
        """A hundred connections of all kinds, most of them plain."""
        for _ in range(80):
            self.ask()
        for _ in range(5):
            self.ask(CLOSING)
        self.reset(b"")
        self.reset(b"GET / HT")
        self.reset(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        self.reset(GET * 50)
        self.connect(self.plain).close()
        self.torn_handshake()
        for index in range(5):
            self.over_tls(resumes=index > 0)
        for index in range(4):
            self.websocket(closes=index % 2 == 0)


def state(server):
    """Resident bytes and descriptors of the server's process."""
    folder = pathlib.Path(f"/proc/{server.process.pid}")
    pages = int((folder / "statm").read_text().split()[1])
    return pages * 4096, len(list((folder / "fd").iterdir()))


def settled(servers):
    """The state once the last connections are gone: their number does not change any more."""
    before = None
    for _ in range(200):
        now = [state(server)[1] for server in servers]
        if now == before:
            break
        before = now
        time.sleep(0.1)
    return [state(server) for server in servers]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=1_000_000)
    total = parser.parse_args().connections
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-soak-"))
    bench = run.ROOT / ".build/release/bench"
    servers = []
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True,
            capture_output=True)
        (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
        plain, secure = run.free_port(), run.free_port()
        servers.append(run.Server("plain", [bench, "http-server", plain, run.BODY], plain, "0-1"))
        servers[0].wait_until_it_answers()
        servers.append(
            run.Server("TLS", [bench, "http-server", secure, run.BODY, "--pem", folder / "both.pem"], secure, "0-1"))
        context = ssl.create_default_context(cafile=folder / "cert.pem")
        while subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{secure}"],
                             stderr=subprocess.DEVNULL).returncode:
            time.sleep(0.05)
        soak = Soak(plain, secure, context)
        start = settled(servers)
        marks = [0.1, 0.25, 0.5, 0.75, 1]
        print(f"{'connections':>11}  " + "  ".join(f"{s.name + ' RSS MiB':>14} {'files':>6}" for s in servers))
        print(f"{0:>11}  " + "  ".join(f"{rss / 2**20:>14.1f} {files:>6}" for rss, files in start))
        states = []
        begun = time.monotonic()
        for mark in marks:
            while soak.count < total * mark:
                soak.hundred()
            states.append(settled(servers))
            print(f"{soak.count:>11,}  "
                  + "  ".join(f"{rss / 2**20:>14.1f} {files:>6}" for rss, files in states[-1]), flush=True)
        print(f"{soak.count / (time.monotonic() - begun):,.0f} connections/s")
        for server, first, middle, last, begin in zip(servers, states[0], states[2], states[-1], start):
            if last[1] > begin[1]:
                sys.exit(f"{server.name}: {last[1] - begin[1]} descriptors were left open")
            # Freed memory does not all go back to the system at once: one MiB is no leak, a steady growth is.
            if last[0] - first[0] > 2**20 and last[0] - middle[0] > 2**19:
                sys.exit(f"{server.name}: memory grows")
    finally:
        run.stop_servers(servers)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
