#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How often our HTTP server allocates memory for a small GET: every malloc of the process is counted, on a connection that
is kept, one request after the other and sixteen at once. Exits with 1 where it is more than it should be.
"""
import argparse
import mmap
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BODY = '{"status":"ok"}'
# For each request, by how many come at once. One in 64 waits for the loop's other connections; those that come together
# need buffers, which an idle connection does not keep.
LIMITS = {1: 1 / 32, 16: 1 / 2}
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: count\r\nAccept: */*\r\n\r\n"


def connect(port, deadline):
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                sys.exit("the server does not answer")
            time.sleep(0.05)


def ask(connection, at_once, rounds):
    """`rounds` times so many requests in one piece, each time followed by their answers."""
    size = None
    for _ in range(rounds):
        connection.sendall(GET * at_once)
        answers = b""
        while size is None or len(answers) < size * at_once:
            data = connection.recv(65536)
            if not data:
                sys.exit("the server has closed the connection")
            answers += data
            if size is None and BODY.encode() in answers:
                size = answers.index(BODY.encode()) + len(BODY)
        assert answers.count(BODY.encode()) == at_once


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default=ROOT / ".build/release/bench", type=pathlib.Path)
    parser.add_argument("--requests", default=16_000, type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library, counter = pathlib.Path(folder, "allocations.so"), pathlib.Path(folder, "count")
        subprocess.run(["clang", "-shared", "-fPIC", "-O1", "-fno-builtin", "-o", library,
                        ROOT / "Benchmarks/http/allocations.c"], check=True)
        counter.write_bytes(bytes(8))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen([options.bench, "http-server", str(port), BODY],
                                  env={"LD_PRELOAD": str(library), "ALLOCATIONS": str(counter)})
        try:
            connection = connect(port, time.monotonic() + 20)
            failed = False
            with open(counter, "rb") as file, mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ) as count:
                def allocations():
                    return struct.unpack("@Q", count[:8])[0]

                for at_once, limit in LIMITS.items():
                    ask(connection, at_once, 100)
                    before = allocations()
                    assert before > 0, "nothing is counted"
                    ask(connection, at_once, options.requests // at_once)
                    each = (allocations() - before) / options.requests
                    print(f"{at_once:2} at once: {each:.4f} allocations for each of {options.requests} requests")
                    failed |= each > limit
        finally:
            server.kill()
            server.wait()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
