# SPDX-License-Identifier: Apache-2.0
"""Speaks to a WebSocket server of ours: as Python's `websockets`, and with bytes of its own making.

    client.py ws://127.0.0.1:PORT [CA]        paths: /echo, /plain (no compression), /small (limits), /silent, /context

Prints one line for each case, and exits with 1 if one of them failed.
"""
import asyncio
import base64
import hashlib
import os
import random
import socket
import ssl
import struct
import sys
import time
import traceback
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

URL = sys.argv[1]
CONTEXT = ssl.create_default_context(cafile=sys.argv[2]) if len(sys.argv) > 2 else None
PARTS = urlsplit(URL)
CASES = []


def case(function):
    CASES.append(function)
    return function


def opened(path="/echo", **options):
    return connect(URL + path, ssl=CONTEXT, max_size=None, open_timeout=20, **options)


class Raw:
    """A connection on which anything can be said."""

    def __init__(self, path="/plain", headers=(), handshake=True):
        plain = socket.create_connection((PARTS.hostname, PARTS.port), timeout=20)
        self.socket = CONTEXT.wrap_socket(plain, server_hostname=PARTS.hostname) if CONTEXT else plain
        self.buffer = b""
        if handshake:
            key = base64.b64encode(os.urandom(16)).decode()
            lines = [f"GET {path} HTTP/1.1", f"Host: {PARTS.netloc}", "Upgrade: websocket", "Connection: Upgrade",
                     "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers]
            self.send(("\r\n".join(lines) + "\r\n\r\n").encode())
            head = self.head()
            assert head.startswith("HTTP/1.1 101 "), head
            guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            assert base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode() in head

    def send(self, data):
        self.socket.sendall(data)

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(65536)
            assert data, "the connection ended: %r" % self.buffer
            self.buffer += data
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head.decode()

    def take(self, count):
        while len(self.buffer) < count:
            try:
                data = self.socket.recv(65536)
            except (ConnectionResetError, ssl.SSLError):
                data = b""
            if not data:
                return None
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def frame(self):
        """The next frame of the server's: first byte and payload; None at the end."""
        head = self.take(2)
        if head is None:
            return None
        assert head[1] & 0x80 == 0, "a server's frame must not be masked"
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack("!H", self.take(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self.take(8))[0]
        return head[0], self.take(length)

    def frames(self):
        found = []
        while (frame := self.frame()) is not None:
            found.append(frame)
        return found

    def close(self):
        self.socket.close()


def frame(first, payload=b"", mask=True, length=None):
    if isinstance(payload, str):
        payload = payload.encode()
    bit = 0x80 if mask else 0
    size = len(payload) if length is None else length
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 65536:
        head = bytes([first, bit | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, bit | 127]) + struct.pack("!Q", size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[index & 3] for index, byte in enumerate(payload))


def fails(sent, code, path="/plain", before=()):
    """Sending `sent` brings a close frame with `code`, after the frames `before`, and the end of the connection."""
    raw = Raw(path)
    raw.send(sent)
    found = raw.frames()
    raw.close()
    assert found and found[-1][0] == 0x88, found
    assert struct.unpack("!H", found[-1][1][:2])[0] == code, (code, found)
    assert [f for f in found[:-1]] == list(before), found


# 1 Framing

@case
async def messages_of_every_size():
    async with opened() as ws:
        for size in [0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 300_000]:
            await ws.send("*" * size)
            assert await ws.recv() == "*" * size
            data = os.urandom(size)
            await ws.send(data)
            assert await ws.recv() == data


@case
async def frames_in_the_smallest_pieces():
    raw = Raw()
    for byte in frame(0x81, "byte by byte") + frame(0x82, b"\0" * 200):
        raw.send(bytes([byte]))
    assert raw.frame() == (0x81, b"byte by byte") and raw.frame() == (0x82, b"\0" * 200)
    raw.close()


# 2 Pings and pongs

@case
async def pings_are_answered():
    async with opened() as ws:
        for payload in [b"", b"a", b"x" * 125]:
            await asyncio.wait_for(await ws.ping(payload), 20)
        await ws.pong(b"unasked")
        await ws.send("still there")
        assert await ws.recv() == "still there"


@case
async def pings_among_messages_and_many_at_once():
    raw = Raw()
    raw.send(b"".join(frame(0x89, b"%d" % n) for n in range(1000)) + frame(0x81, "end"))
    found = []
    while not found or found[-1] != (0x81, b"end"):
        found.append(raw.frame())
    pongs = [f for f in found if f[0] == 0x8A]
    # Only the last one needs an answer.
    assert pongs and pongs[-1] == (0x8A, b"999"), found[-3:]
    raw.close()


@case
async def a_ping_that_is_too_long():
    fails(frame(0x89, b"x" * 126), 1002)


# 3 Reserved bits, 4 opcodes

@case
async def reserved_bits():
    for bits in range(1, 8):
        for opcode in [1, 2, 8, 9, 10]:
            fails(frame(0x80 | bits << 4 | opcode, "a"), 1002)
    fails(frame(0x81, "before") + frame(0xC1, "a"), 1002, before=[(0x81, b"before")])


@case
async def reserved_opcodes():
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]:
        fails(frame(0x80 | opcode), 1002)
        fails(frame(0x81, "before") + frame(0x80 | opcode, "a"), 1002, before=[(0x81, b"before")])


# 5 Fragmentation

@case
async def fragments_are_joined():
    async with opened() as ws:
        await ws.send(["one, ", "two, ", "", "three"])
        assert await ws.recv() == "one, two, three"
        await ws.send([b"\x00", b"\x01"])
        assert await ws.recv() == b"\x00\x01"


@case
async def control_frames_between_fragments():
    raw = Raw()
    raw.send(frame(0x01, "a") + frame(0x89, "ping") + frame(0x00, "b") + frame(0x8A) + frame(0x80, "c"))
    assert raw.frame() == (0x8A, b"ping") and raw.frame() == (0x81, b"abc")
    raw.close()


@case
async def fragments_that_do_not_belong():
    for sent in [
        frame(0x09, "a") + frame(0x80, "b"), frame(0x0A, "a") + frame(0x80), frame(0x08) + frame(0x80),
        frame(0x80, "a"), frame(0x00, "a") + frame(0x80, "b"), frame(0x01, "a") + frame(0x81, "b"),
        frame(0x01, "a") + frame(0x02, "b") + frame(0x80, "c"),
    ]:
        fails(sent, 1002)


# 6 UTF-8

VALID = ["κόσμε", "\x00", "\x7f", "\x80", "\u07ff", "\u0800", "\uffff", "\U00010000", "\U0010ffff", "\ufffd", "\ufdd0"]
INVALID = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xbf", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf",
    b"\xc1\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xfe", b"\xff", b"\xce", b"\xe1\xbd", b"\xf0\x9f\x8e",
]


@case
async def valid_text():
    async with opened("/plain") as ws:
        for text in VALID:
            await ws.send(text)
            assert await ws.recv() == text

    raw = Raw()
    for text in VALID:
        data = text.encode()
        raw.send(frame(0x01) + b"".join(frame(0x00, data[n : n + 1]) for n in range(len(data))) + frame(0x80))
        assert raw.frame() == (0x81, data)
    raw.close()


@case
async def invalid_text():
    for data in INVALID:
        fails(frame(0x81, data), 1007)
        fails(frame(0x01, data[:1]) + frame(0x80, data[1:]), 1007)


@case
async def invalid_text_is_refused_before_its_frame_has_ended():
    raw = Raw()
    whole = frame(0x81, b"\xce\xba\xed\xa0\x80" + b"x" * 1000)
    raw.send(whole[:20])
    found = raw.frames()
    assert found[-1][0] == 0x88 and found[-1][1][:2] == struct.pack("!H", 1007), found
    raw.close()


# 7 Closing

@case
async def closing_in_order():
    for code, reason in [(1000, ""), (1000, "bye"), (1001, "x" * 123), (1011, "κόσμε"), (3000, ""), (4999, "app")]:
        async with opened() as ws:
            await ws.close(code, reason)
            assert ws.protocol.close_rcvd.code == code, ws.protocol.close_rcvd
    raw = Raw()
    raw.send(frame(0x88))
    assert raw.frames() == [(0x88, b"")]
    raw.close()


@case
async def what_comes_after_a_close_frame_is_not_answered():
    raw = Raw()
    raw.send(frame(0x88, struct.pack("!H", 1000)) + frame(0x81, "late") + frame(0x89, "late"))
    assert raw.frames() == [(0x88, struct.pack("!H", 1000))]
    raw.close()


@case
async def close_codes_that_may_not_be_sent():
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]:
        fails(frame(0x88, struct.pack("!H", code)), 1002)
    fails(frame(0x88, b"\x03"), 1002)
    fails(frame(0x88, struct.pack("!H", 1000) + b"\xce\xba\xed\xa0\x80"), 1007)


@case
async def a_server_that_closes_first():
    async with opened("/goodbye") as ws:
        try:
            await ws.recv()
            assert False, "no close"
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd.code == 4000 and closed.rcvd.reason == "that is all", closed


@case
async def a_client_that_does_not_answer_a_close_frame_is_left_after_a_while():
    raw = Raw("/goodbye")
    begun = time.monotonic()
    assert raw.frame()[0] == 0x88
    assert raw.take(1) is None
    assert time.monotonic() - begun < 15
    raw.close()


@case
async def a_client_that_is_silent_is_pinged_and_then_left():
    raw = Raw("/silent")
    begun = time.monotonic()
    found = raw.frames()
    assert [f[0] for f in found] == [0x89] and time.monotonic() - begun < 15, found
    raw.close()
    # One that answers is kept.
    async with opened("/silent") as ws:
        await asyncio.sleep(1.5)
        await ws.send("here")
        assert await ws.recv() == "here"


@case
async def a_connection_that_breaks_leaves_nothing_behind():
    for _ in range(20):
        raw = Raw()
        raw.send(frame(0x81, "x" * 1000)[:-500])
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()


# 9 Limits

@case
async def limits_are_told():
    # /small: frames of 1000 bytes, messages of 2000, 10 fragments
    async with opened("/small", compression=None) as ws:
        await ws.send("x" * 1000)
        assert await ws.recv() == "x" * 1000
        await ws.send(["x" * 1000, "y" * 1000])
        assert len(await ws.recv()) == 2000
    fails(frame(0x81, b"", length=1001), 1009, "/small")
    fails(frame(0x01, "x" * 1000) + frame(0x00, "x" * 1000) + frame(0x80, b"", length=1), 1009, "/small")
    fails(frame(0x01) + frame(0x00) * 10, 1008, "/small")
    fails(frame(0x82, b"", length=(1 << 63) - 1), 1009, "/small")
    fails(frame(0x82)[:1] + b"\xff" + b"\xff" * 8, 1002, "/small")


@case
async def large_messages_and_many_small_ones():
    async with opened("/echo", compression=None) as ws:
        big = os.urandom(1_000_000)
        await ws.send(big)
        assert await ws.recv() == big
        await ws.send([big[n : n + 1000] for n in range(0, len(big), 1000)])
        assert await ws.recv() == big

        async def send():
            for n in range(5000):
                await ws.send(str(n))

        sending = asyncio.create_task(send())
        for n in range(5000):
            assert await ws.recv() == str(n)
        await sending


@case
async def a_client_that_reads_late_gets_everything():
    raw = Raw()
    payload = os.urandom(100_000)
    sent = 0
    raw.socket.settimeout(2)
    # Until our own sends are held up: the server waits with reading until we read.
    try:
        for _ in range(1000):
            raw.send(frame(0x82, payload))
            sent += 1
    except (TimeoutError, ssl.SSLError):
        pass
    assert sent < 1000, "the server reads on although nobody takes its answers"
    raw.socket.settimeout(20)
    for _ in range(sent):
        assert raw.frame() == (0x82, payload)
    raw.close()


# 10 Fragmentation by ourselves, at random

@case
async def random_streams():
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print("seed", seed)
    raw = Raw()
    expected, stream = [], b""
    for _ in range(200):
        data = "".join(chance.choice("aé€🎞") for _ in range(chance.randrange(200))).encode()
        first = chance.choice([0x01, 0x02])
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(5)))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
        for index, piece in enumerate(pieces):
            final = 0x80 if index == len(pieces) - 1 else 0
            stream += frame(final | (first if index == 0 else 0), piece)
        expected.append((0x80 | first, data))
    while stream:
        count = chance.randrange(1, 2000)
        raw.send(stream[:count])
        stream = stream[count:]
    for answer in expected:
        assert raw.frame() == answer
    raw.close()


# 12, 13 Compression

@case
async def a_message_that_dribbles_is_given_up_and_silence_between_messages_is_not():
    raw = Raw("/slow")
    for _ in range(2):
        raw.send(frame(0x82, b"whole"))
        assert raw.frame() == (0x82, b"whole")
        time.sleep(0.7)
    raw.close()
    bytes_of_a_frame = [frame(0x82, length=60_000)] + [b"x"] * 400
    frames_of_a_message = [frame(0x02, b"x")] + [frame(0x00, b"x"), frame(0x89)] * 200
    pings_in_pieces = [frame(0x82, b"x")[:3], *[b""] * 400]
    for pieces in [bytes_of_a_frame, frames_of_a_message, pings_in_pieces]:
        raw = Raw("/slow")
        raw.socket.settimeout(0.05)
        codes = []
        for piece in pieces:
            try:
                raw.send(piece)
                first, payload = raw.frame()
                if first == 0x88:
                    codes.append(struct.unpack("!H", payload[:2])[0])
                    break
            except TimeoutError:
                pass
        raw.close()
        assert codes == [1008], codes


@case
async def compression_with_every_offer():
    text = "compress me, compress me, " * 200
    for path in ["/echo", "/context"]:
        for options in [
            {}, {"server_no_context_takeover": True}, {"client_no_context_takeover": True},
            {"server_no_context_takeover": True, "client_no_context_takeover": True},
            {"server_max_window_bits": 9}, {"server_max_window_bits": 12}, {"server_max_window_bits": 15},
            {"client_max_window_bits": 9}, {"client_max_window_bits": 15},
            {"server_max_window_bits": 10, "client_max_window_bits": 10, "client_no_context_takeover": True},
        ]:
            async with opened(path, compression=None, extensions=[ClientPerMessageDeflateFactory(**options)]) as ws:
                assert [e.name for e in ws.protocol.extensions] == ["permessage-deflate"], (path, options)
                for message in [text, "", text, "x", os.urandom(70_000), text.encode() * 20, [text, text], text]:
                    await ws.send(message)
                    assert await ws.recv() == ("".join(message) if isinstance(message, list) else message), options


@case
async def an_offer_that_cannot_be_kept_is_declined():
    factory = ClientPerMessageDeflateFactory(server_max_window_bits=8)
    async with opened("/echo", compression=None, extensions=[factory]) as ws:
        assert not ws.protocol.extensions
        await ws.send("plain")
        assert await ws.recv() == "plain"
    async with opened("/plain") as ws:
        assert not ws.protocol.extensions


DEFLATE = ["Sec-WebSocket-Extensions: permessage-deflate"]


@case
async def bombs_and_broken_blocks():
    import zlib

    def deflate(data):
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def fails_compressed(sent, code):
        raw = Raw("/echo", headers=DEFLATE)
        raw.send(sent)
        found = raw.frames()
        assert found[-1][0] == 0x88 and found[-1][1][:2] == struct.pack("!H", code), found
        raw.close()

    fails_compressed(frame(0xC2, deflate(b"\0" * 100_000_000)), 1009)
    fails_compressed(frame(0xC1, b"\xff\xff\xff\xff"), 1007)
    fails_compressed(frame(0xC1, deflate(b"\xed\xa0\x80")), 1007)
    fails_compressed(frame(0x41, deflate(b"abc")[:2]) + frame(0xC0, deflate(b"abc")[2:]), 1002)
    fails_compressed(frame(0xC9, b""), 1002)
    raw = Raw("/echo", headers=DEFLATE)
    data = deflate(b"in pieces " * 100)
    raw.send(frame(0x41, data[:3]) + frame(0x89, "p") + b"".join(frame(0x00, data[n : n + 1]) for n in range(3, len(data))))
    raw.send(frame(0x80, b""))
    assert raw.frame() == (0x8A, b"p")
    first, payload = raw.frame()
    inflater = zlib.decompressobj(-15)
    assert first == 0xC1 and inflater.decompress(payload + b"\0\0\xff\xff") == b"in pieces " * 100
    raw.close()


# The opening handshake

@case
async def handshakes_that_are_refused():
    def answer(*lines, line="GET /echo HTTP/1.1"):
        raw = Raw(handshake=False)
        raw.send(("\r\n".join([line, f"Host: {PARTS.netloc}", *lines]) + "\r\n\r\n").encode())
        head = raw.head()
        raw.close()
        return head

    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = ["Upgrade: websocket", "Connection: Upgrade"]
    version = "Sec-WebSocket-Version: 13"
    assert answer().startswith("HTTP/1.1 426 ") and "Connection: Upgrade\r\nUpgrade: websocket" in answer()
    old = answer(*upgrade, key, "Sec-WebSocket-Version: 8")
    assert old.startswith("HTTP/1.1 426 ") and "Sec-WebSocket-Version: 13" in old and "Connection: Upgrade\r\nUpgrade: websocket" in old
    assert answer(*upgrade, version).startswith("HTTP/1.1 400 ")
    assert answer(*upgrade, version, key, "Origin: https://evil.example").startswith("HTTP/1.1 403 ")
    assert answer(*upgrade, version, key, line="POST /echo HTTP/1.1").startswith("HTTP/1.1 426 ")
    assert answer(*upgrade, version, key).startswith("HTTP/1.1 101 ")


@case
async def subprotocols_are_agreed_on():
    async with opened("/echo", subprotocols=["v0", "v2"]) as ws:
        assert ws.subprotocol == "v2"
    async with opened("/echo", subprotocols=["v0"]) as ws:
        assert ws.subprotocol is None


@case
async def frames_that_come_with_the_handshake_are_not_lost():
    raw = Raw(handshake=False)
    raw.send((f"GET /plain HTTP/1.1\r\nHost: {PARTS.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()
             + frame(0x81, "early"))
    raw.head()
    assert raw.frame() == (0x81, b"early")
    raw.close()


# Messages for all

@case
async def what_is_sent_to_all_arrives_at_all():
    async def listen(index):
        options = [{"compression": None}, {}, {"compression": None, "extensions": [
            ClientPerMessageDeflateFactory(server_max_window_bits=10)]}][index % 3]
        # Without a limit, because a full queue of messages would keep its close frame from being read.
        async with opened("/live", max_queue=None, **options) as ws:
            messages = [await ws.recv() for _ in range(50)]
        numbers = [int(message.split(",")[0]) for message in messages]
        assert numbers == list(range(numbers[0], numbers[0] + 50)), numbers
        assert all(message.endswith("x" * 600) for message in messages)

    await asyncio.gather(*(listen(index) for index in range(30)))


@case
async def who_is_too_slow_for_the_messages_of_all_is_cut_off():
    raw = Raw("/flood")
    time.sleep(1)
    found = raw.frames()
    assert found[-1][0] == 0x88 and found[-1][1][:2] == struct.pack("!H", 1008), found[-1]
    raw.close()


async def main():
    failed = 0
    for function in CASES:
        begun = time.monotonic()
        try:
            await asyncio.wait_for(function(), 60)
            print(f"ok {function.__name__} {time.monotonic() - begun:.2f} s")
        except BaseException:
            failed += 1
            print(f"FAILED {function.__name__}")
            traceback.print_exc(file=sys.stdout)
    print(f"{len(CASES)} cases, {failed} failed")
    sys.exit(1 if failed else 0)


asyncio.run(main())
