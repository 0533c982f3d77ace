# SPDX-License-Identifier: Apache-2.0
"""A WebSocket on loopback that sends frames as Finnhub does, as fast as they are taken: what `bench finnhub` reads.

`python3 Benchmarks/finnhub_feed.py --trades N --per-frame N` prints its port; each connection gets N trades after its first
message. It costs almost nothing itself: frames are made once and sent over and over.
"""
import argparse
import base64
import hashlib
import json
import random
import signal
import socket
import threading


def frame(generator, count):
    trades = []
    for _ in range(count):
        trade = {"p": round(generator.uniform(100, 200), 2), "s": generator.choice(["AAPL", "MSFT", "BINANCE:BTCUSDT"]),
                 "t": 1_700_000_000_000 + generator.randrange(1_000_000), "v": generator.randrange(1, 500)}
        if generator.random() < 0.7:
            trade = {"c": ["1", "12"]} | trade
        trades.append(trade)
    payload = json.dumps({"data": trades, "type": "trade"}, separators=(",", ":")).encode()
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


def serve(connection, block, blocks):
    with connection:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        key = next(line.split(b":", 1)[1].strip() for line in request.split(b"\r\n")
                   if line.lower().startswith(b"sec-websocket-key"))
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n")
        connection.recv(65536)
        try:
            for _ in range(blocks):
                connection.sendall(block)
            while connection.recv(65536):
                pass
        except OSError:
            pass


def main():
    # Who is started from a thread that takes no signals inherits that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    parser = argparse.ArgumentParser()
    parser.add_argument("--trades", type=int, default=2_000_000)
    parser.add_argument("--per-frame", type=int, default=10)
    arguments = parser.parse_args()
    generator = random.Random(1)
    frames = 1000
    block = b"".join(frame(generator, arguments.per_frame) for _ in range(frames))
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    while True:
        connection, _ = server.accept()
        threading.Thread(
            target=serve, args=(connection, block, arguments.trades // arguments.per_frame // frames),
            daemon=True).start()


main()
