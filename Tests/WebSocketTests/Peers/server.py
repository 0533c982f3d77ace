# SPDX-License-Identifier: Apache-2.0
"""WebSocket servers for a client of ours: Python's `websockets`, and one that says whatever it is told to.

    server.py [CERTIFICATE KEY]

Prints the port of the first and of the second, and serves until its standard input ends.
"""
import asyncio
import base64
import hashlib
import logging
import ssl
import struct
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

# That a client ends what it has begun is what the tests are about, and no news.
logging.getLogger("websockets").setLevel(logging.CRITICAL)

CONTEXT = None
if len(sys.argv) > 2:
    CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CONTEXT.load_cert_chain(sys.argv[1], sys.argv[2])


async def answer(ws):
    path = urlsplit(ws.request.path).path
    if path == "/fragments":
        await ws.send(["one, ", "two, ", "three"])
        await ws.ping(b"in between")
        await ws.send(b"bytes")
        await ws.close(4001, "enough")
    elif path == "/flood":
        # As Finnhub would: many small messages, as fast as they are taken.
        for n in range(50_000):
            await ws.send('{"type":"trade","data":[{"s":"AAPL","p":%d.25,"t":1618677709984,"v":100}]}' % n)
        await ws.close()
    elif path == "/headers":
        await ws.send(ws.request.headers.get("X-Token", "none") + " " + ws.request.headers["Host"].split(":")[0])
    elif path == "/ping":
        latency = await asyncio.wait_for(await ws.ping(b"are you there"), 20)
        await ws.send("answered" if latency >= 0 else "")
    else:
        async for message in ws:
            await ws.send(message)


def process(connection, request):
    status = {"/denied": 401, "/moved": 302, "/broken": 500}.get(urlsplit(request.path).path)
    if status:
        response = connection.respond(status, "no entry " + "x" * 5000)
        if status == 302:
            response.headers["Location"] = "wss://elsewhere.example/"
        return response


async def raw(reader, writer):
    """Shakes hands, sends the bytes in `hex=`, and tells what comes back as hexadecimal text on a later connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    query = parse_qs(urlsplit(head.split(" ")[1]).query)
    key = [line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append("Sec-WebSocket-Accept: " + ("wrong" if "wrong" in query else accept))
    lines += query.get("header", [])
    if "answer" in query:
        writer.write(query["answer"][0].encode())
    elif "silent" not in query:
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    writer.write(bytes.fromhex(query.get("hex", [""])[0]))
    await writer.drain()
    try:
        if "answer" not in query and "hangup" not in query:
            frame = await asyncio.wait_for(reader.readexactly(2), 20)
            assert frame[1] & 0x80, "a client's frame must be masked"
            key = await reader.readexactly(4)
            payload = bytes(b ^ key[n & 3] for n, b in enumerate(await reader.readexactly(frame[1] & 0x7F)))
            # The code that we were closed with, as a message nobody asked for would be: printed.
            print("closed", struct.unpack("!H", payload[:2])[0] if payload else 1005, flush=True)
    except (asyncio.IncompleteReadError, TimeoutError, ConnectionError) as error:
        print("ended", type(error).__name__, flush=True)
    writer.close()


def choose(connection, offered):
    return next((name for name in ["v2", "v1"] if name in offered), None)


async def main():
    options = {"ssl": CONTEXT, "process_request": process, "ping_interval": None}
    compression = ServerPerMessageDeflateFactory(server_max_window_bits=12, client_max_window_bits=11)
    async with (
        serve(answer, "127.0.0.1", 0, select_subprotocol=choose, **options) as plain,
        serve(answer, "127.0.0.1", 0, compression=None, extensions=[compression], **options) as small,
    ):
        unruly = await asyncio.start_server(raw, "127.0.0.1", 0, ssl=CONTEXT)
        ports = [server.sockets[0].getsockname()[1] for server in [plain, small, unruly]]
        print(*ports, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
