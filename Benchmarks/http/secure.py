#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS beside nginx with the same certificate, and WebSocket echoes beside Python's `websockets`.

One loop or worker on one core, the load from the other; servers take turns, and each figure is the median of the rounds.
"""
import argparse
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import run

BENCH = run.ROOT / ".build/release/bench"
NGINX = run.NGINX.replace("reuseport;", "reuseport ssl; ssl_certificate {folder}/both.pem; "
                          "ssl_certificate_key {folder}/both.pem; ssl_protocols TLSv1.2 TLSv1.3; "
                          "ssl_session_cache shared:s:10m;")
ECHO = """
import asyncio, sys
from websockets.asyncio.server import serve
async def echo(ws):
    async for message in ws:
        await ws.send(message)
async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), compression=None):
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""


def load(*command):
    return subprocess.run(["taskset", "-c", "1", *map(str, command)], capture_output=True, text=True).stdout


def handshakes(port, *options):
    """Connections a second of `openssl s_time`, by its own clock on the wall."""
    text = load("openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-time", 3, *options)
    count, seconds = re.search(r"(\d+) connections in (\d+) real seconds", text).groups()
    return int(count) / int(seconds)


def requests(port, connections):
    text = load("wrk", "-t1", "-c", connections, "-d", "2s", f"https://127.0.0.1:{port}/")
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(text)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])


def echoes(url):
    return float(load(BENCH, "websocket-load", url, "--seconds", 2) or 0)


def compare(what, cases, rounds):
    """`cases`: name → a function that measures once. The ratio is to the last one."""
    runs = {name: [] for name in cases}
    for _ in range(rounds):
        for name, measure in cases.items():
            runs[name].append(measure())
    peer = list(cases)[-1]
    for name, found in runs.items():
        ratio = statistics.median(a / b for a, b in zip(found, runs[peer]))
        print(f"{what:<34} {name:<12} {statistics.median(found):>10,.0f}/s {ratio:>6.2f}x", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-bench-tls-"))
    servers = []

    def start(name, command, port):
        servers.append(run.Server(name, command, port, "0"))

    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True,
            capture_output=True)
        (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
        (folder / "echo.py").write_text(ECHO)
        nginx, ours, plain, python = (run.free_port() for _ in range(4))
        (folder / "nginx.conf").write_text(NGINX.format(workers=1, folder=folder, port=nginx, body=run.BODY))
        start("nginx", ["nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log", "-p", folder], nginx)
        start("tapedeck", [BENCH, "http-server", ours, run.BODY, "--pem", folder / "both.pem"], ours)
        start("tapedeck", [BENCH, "http-server", plain, run.BODY], plain)
        start("python", [run.ROOT / ".build-venv/bin/python", folder / "echo.py", python], python)
        for server in servers[2:3]:
            server.wait_until_it_answers()
        while any(subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], stderr=subprocess.DEVNULL).returncode
                  for port in [nginx, ours, python]):
            pass
        for what, options in [("TLS 1.3 handshakes", ["-new", "-tls1_3"]), ("TLS 1.2 handshakes, resumed", ["-reuse", "-tls1_2"])]:
            compare(what, {"tapedeck": lambda: handshakes(ours, *options), "nginx": lambda: handshakes(nginx, *options)}, rounds)
        for connections in [1, 64]:
            compare(f"requests over TLS, {connections} connections",
                    {"tapedeck": lambda: requests(ours, connections), "nginx": lambda: requests(nginx, connections)}, rounds)
        compare("WebSocket echoes of 100 bytes",
                {"tapedeck": lambda: echoes(f"ws://127.0.0.1:{plain}/echo"),
                 "websockets": lambda: echoes(f"ws://127.0.0.1:{python}/")}, rounds)
    finally:
        run.stop_servers(servers)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
