#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small GET from memory: our HTTP server beside nginx, and the Swift peers where they are built.

Every server answers with the same bytes, on one core and one event loop; `wrk` loads it from the other core. The
servers take turns, round by round, so that whatever else the machine does meets all of them; each figure is the median
of the rounds. Beside requests a second stands the processor time a request costs the server, which depends less on what
else runs.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BODY = '{"status":"ok","symbol":"COINBASE:BTC-USD","price":65083.67}'
NGINX = """
daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; default_type text/plain;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port} reuseport; location / {{ return 200 '{body}'; }} }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server, pinned to `cores`."""

    def __init__(self, name, command, port, cores):
        self.name, self.port, self.command = name, port, command
        self.process = subprocess.Popen(
            ["taskset", "-c", cores, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_until_it_answers(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as peer:
                    peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = b"".join(iter(lambda: peer.recv(65536), b""))
                if not answer.endswith(BODY.encode()):
                    sys.exit(f"{self.name} does not answer with the body: {answer!r}")
                self.bytes = len(answer)
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{self.name} did not start: {' '.join(map(str, self.command))}")
                time.sleep(0.05)

    def seconds_of_cpu(self):
        """Processor time of the process and its children so far."""
        ticks, pids = 0, [self.process.pid]
        for pid in pids:
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
                pids += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except FileNotFoundError:
                pass
        return ticks / os.sysconf("SC_CLK_TCK")

    def load(self, connections, depth, seconds, cores, threads):
        """One run of wrk: requests a second, microseconds of processor time a request, p50 and p99 in µs."""
        before = self.seconds_of_cpu()
        run = subprocess.run(
            ["taskset", "-c", cores, "wrk", "-t", str(min(threads, connections)), "-c", str(connections),
             "-d", f"{seconds}s", "-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{self.port}/", "--", str(depth)],
            capture_output=True, text=True, check=True)
        report = json.loads(run.stdout.strip().splitlines()[-1])
        if report["errors"]:
            sys.exit(f"{self.name}: {report['errors']} errors\n{run.stdout}")
        cpu = self.seconds_of_cpu() - before
        return {
            "rate": report["requests"] / report["microseconds"] * 1e6, "cpu": cpu / report["requests"] * 1e6,
            "p50": report["p50"], "p99": report["p99"]}

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def start_servers(servers, folder, cores, loops, with_peers):
    ours = ROOT / ".build/release/bench"
    peers = HERE / "peers/.build/release"

    def start(name, command, port):
        servers.append(Server(name, command, port, cores))
        servers[-1].wait_until_it_answers()

    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(workers=loops, folder=folder, port=port, body=BODY))
    start("nginx", ["nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log", "-p", folder], port)
    port = free_port()
    start("tapedeck", [ours, "http-server", port, BODY, "--loops", loops], port)
    for peer in ["hummingbird", "flyingfox"] if with_peers else []:
        port = free_port()
        if (peers / f"{peer}-peer").exists():
            start(peer, [peers / f"{peer}-peer", port, BODY], port)
        else:
            print(f"{peer} is left out: make bench-http builds it")


def stop_servers(servers):
    while servers:
        servers.pop().stop()


def measure(servers, cases, rounds, seconds, cores, threads):
    print(f"{'connections':>11} {'depth':>5}  {'server':<12} {'requests/s':>10} {'of nginx':>8} "
          f"{'CPU µs/req':>10} {'of nginx':>8} {'p50 µs':>7} {'p99 µs':>7}")
    for connections, depth in cases:
        runs = {server.name: [] for server in servers}
        for _ in range(rounds):
            for server in servers:
                if depth == 1 or server.name in ("nginx", "tapedeck"):
                    runs[server.name].append(server.load(connections, depth, seconds, cores, threads))
        for name, results in runs.items():
            if not results:
                continue
            middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
            # Ratios pair the runs of one round.
            rate = statistics.median(a["rate"] / b["rate"] for a, b in zip(results, runs["nginx"]))
            cpu = statistics.median(b["cpu"] / a["cpu"] for a, b in zip(results, runs["nginx"]))
            print(f"{connections:>11} {depth:>5}  {name:<12} {middle['rate']:>10,.0f} {rate:>7.2f}x "
                  f"{middle['cpu']:>10.2f} {cpu:>7.2f}x {middle['p50']:>7} {middle['p99']:>7}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    parser.add_argument("--connections", default="1,16,64,256")
    parser.add_argument("--depth", type=int, default=16, help="of the pipelined runs")
    parser.add_argument("--no-peers", action="store_true", help="only nginx and ours")
    arguments = parser.parse_args()
    if os.cpu_count() < 2:
        sys.exit("two cores are needed: one for the server, one for wrk")
    counts = [int(count) for count in arguments.connections.split(",")]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-bench-http-"))
    servers = []
    try:
        start_servers(servers, folder, "0", 1, not arguments.no_peers)
        print("one loop on one core, wrk on another; "
              + ", ".join(f"{server.name} answers {server.bytes} bytes" for server in servers)
              + "; CPU ratio above 1: cheaper than nginx")
        measure(servers, [(count, 1) for count in counts] + [(count, arguments.depth) for count in counts],
                arguments.rounds, arguments.seconds, "1", 1)
        stop_servers(servers)
        print("\ntwo loops or workers, sharing both cores with wrk")
        start_servers(servers, folder, "0,1", 2, False)
        measure(servers, [(64, 1)], arguments.rounds, arguments.seconds, "0,1", 2)
    finally:
        stop_servers(servers)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
