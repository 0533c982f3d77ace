#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ten thousand idle connections: what each costs our server in memory, and what all cost the latency of others.

Each has had one request answered and stays open. `wrk` measures beside them; runs without and with them take turns, and
each figure is the median of the rounds. nginx stands beside it.
"""
import argparse
import pathlib
import resource
import shutil
import socket
import statistics
import sys
import tempfile

import run

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def resident(server):
    """Bytes of the server and its children."""
    pids, total = [server.process.pid], 0
    for pid in pids:
        total += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
        pids += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return total


def open_idle(server, count):
    peers = []
    for _ in range(count):
        peer = socket.create_connection(("127.0.0.1", server.port))
        peer.sendall(GET)
        got = b""
        while not got.endswith(run.BODY.encode()):
            got += peer.recv(65536)
        peers.append(peer)
    return peers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=16, help="that ask all the time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    arguments = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit < arguments.idle + 200:
        sys.exit(f"only {limit} files may be open: ulimit -n {arguments.idle + 200}, or fewer with --idle")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-bench-idle-"))
    servers = []
    try:
        run.NGINX = run.NGINX.replace("worker_connections 4096", f"worker_connections {arguments.idle + 200}").replace(
            "keepalive_requests", "keepalive_timeout 600; keepalive_requests")
        run.start_servers(servers, folder, "0", 1, False)
        print(f"{arguments.connections} connections ask, {arguments.idle:,} have asked and are idle")
        for server in servers:
            before = resident(server)
            alone, beside, costs = [], [], []
            for _ in range(arguments.rounds):
                alone.append(server.load(arguments.connections, 1, arguments.seconds, "1", 1))
                peers = open_idle(server, arguments.idle)
                costs.append(resident(server) - before)
                beside.append(server.load(arguments.connections, 1, arguments.seconds, "1", 1))
                for peer in peers:
                    peer.close()
            print(f"{server.name:<9} {costs[0] / arguments.idle / 1024:.1f} KiB each", end="")
            for name in ["rate", "p50", "p99"]:
                ratio = statistics.median(b[name] / a[name] for a, b in zip(alone, beside))
                unit = "/s" if name == "rate" else " µs"
                print(f"   {name} {statistics.median(a[name] for a in alone):,.0f} → "
                      f"{statistics.median(b[name] for b in beside):,.0f}{unit} ({ratio:.2f}x)", end="")
            print(flush=True)
    finally:
        run.stop_servers(servers)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
