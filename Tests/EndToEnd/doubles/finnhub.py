# SPDX-License-Identifier: Apache-2.0
"""Finnhub's WebSocket and the REST it needs, as far as its clients can tell; and whatever it does on a bad day.

One connection for each key: one more is closed at once. Who is not subscribed to a symbol does not get its trades. REST
wants the key in `X-Finnhub-Token` or as `token`. Frames have the shapes of recorded ones: `c` a list, null or missing,
integral numbers, trades alike in everything, several symbols, out of order.
"""
import http.server
import json
import socket
import ssl
import threading
import time
import urllib.parse

import websockets.exceptions
import websockets.http11
import websockets.sync.server
from websockets.datastructures import Headers

KNOWN = [
    {"description": "APPLE INC", "displaySymbol": "AAPL", "symbol": "AAPL", "type": "Common Stock"},
    {"description": "APPLE HOSPITALITY REIT INC", "displaySymbol": "APLE", "symbol": "APLE", "type": "REIT"},
    {"description": "Binance BTC/USDT", "displaySymbol": "BTC/USDT", "symbol": "BINANCE:BTCUSDT", "type": "Crypto"},
    {"description": "EUR/USD", "displaySymbol": "EUR/USD", "symbol": "IC MARKETS:1", "type": "Forex"},
]


def trade(symbol, price, milliseconds, volume, *conditions, **other):
    """One trade of a frame, with conditions only where they are given."""
    made = {"p": price, "s": symbol, "t": milliseconds, "v": volume}
    return made | ({"c": list(conditions)} if conditions else {}) | other


def frame(*trades):
    return json.dumps({"data": list(trades), "type": "trade"}, separators=(",", ":"))


class Finnhub:
    def __init__(self, certificate, key, token, port=0):
        """Serves over TLS with these files; `token` is the only good key."""
        self.token = token
        # Answers of the next handshakes instead of a WebSocket: (status, headers, body).
        self.refusals = []
        # How many of the next connections are closed as soon as they are open.
        self.closes = 0
        # Seconds before the next handshakes are answered.
        self.delay = 0
        self.handshakes = 0
        self.searches = []
        # Answers of the next REST requests: (status, headers, body).
        self.rest_refusals = []
        self.connection = None
        self.subscribed = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.server = websockets.sync.server.serve(
            self.serve, "127.0.0.1", port, ssl=self.context, process_request=self.admit, compression=None,
            ping_interval=None)
        self.port = self.server.socket.getsockname()[1]
        self.url = f"wss://127.0.0.1:{self.port}"
        self.threads = [threading.Thread(target=self.server.serve_forever, daemon=True)]
        double = self

        class Rest(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                double.answer(self)

            def log_message(self, *_):
                pass

        self.rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest)
        self.rest.daemon_threads = True
        self.rest.socket = self.context.wrap_socket(self.rest.socket, server_side=True)
        self.rest_url = f"https://127.0.0.1:{self.rest.server_address[1]}/api/v1"
        self.threads.append(threading.Thread(target=self.rest.serve_forever, daemon=True))
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.cut()
        self.server.shutdown()
        self.rest.shutdown()
        self.rest.server_close()

    # The WebSocket

    def admit(self, connection, request):
        """Answers a handshake with something else, if it has to."""
        self.handshakes += 1
        if self.delay:
            time.sleep(self.delay)
        if self.refusals:
            status, headers, body = self.refusals.pop(0)
            return websockets.http11.Response(
                status, "No", Headers({"Content-Length": str(len(body)), "Connection": "close", **headers}),
                body.encode())
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        if query.get("token") != [self.token]:
            body = "Invalid API key"
            return websockets.http11.Response(
                401, "Unauthorized", Headers({"Content-Length": str(len(body)), "Connection": "close"}), body.encode())
        return None

    def serve(self, connection):
        if self.connection or self.closes:
            self.closes = max(0, self.closes - 1)
            connection.close()
            return
        self.subscribed = []
        self.connection = connection
        try:
            for message in connection:
                wish = json.loads(message)
                if wish["type"] == "subscribe":
                    self.subscribed.append(wish["symbol"])
                elif wish["type"] == "unsubscribe":
                    self.subscribed.remove(wish["symbol"])
        except (websockets.exceptions.ConnectionClosed, OSError):
            pass
        finally:
            self.subscribed = []
            self.connection = None

    def send(self, *messages):
        """Sends messages as they are, of frames only the trades that somebody subscribed to."""
        for message in messages:
            self.connection.send(self.wanted(message))

    def wanted(self, message):
        try:
            parsed = json.loads(message)
        except ValueError:
            return message
        if not isinstance(parsed, dict) or parsed.get("type") != "trade":
            return message
        wanted = [trade for trade in parsed["data"] if trade.get("s") in [*self.subscribed, None]]
        return message if len(wanted) == len(parsed["data"]) else frame(*wanted)

    def ping(self):
        self.send('{"type":"ping"}')

    def send_slowly(self, message, pause=0.01):
        """Sends a message a byte at a time."""
        payload = message.encode()
        assert len(payload) < 65536
        # In as few bytes as hold it (RFC 6455, 5.2).
        length = bytes([len(payload)]) if len(payload) < 126 else bytes([126]) + len(payload).to_bytes(2, "big")
        head = b"\x81" + length
        for byte in head + payload:
            self.connection.socket.sendall(bytes([byte]))
            time.sleep(pause)

    def cut(self):
        """Ends the connection without a word."""
        if connection := self.connection:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self, code=1001, reason="going away"):
        self.connection.close(code, reason)

    # REST

    def answer(self, request):
        if self.rest_refusals:
            status, headers, body = self.rest_refusals.pop(0)
            return self.reply(request, status, body, headers)
        url = urllib.parse.urlsplit(request.path)
        query = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
        if request.headers.get("X-Finnhub-Token", query.get("token")) != self.token:
            return self.reply(request, 401, json.dumps({"error": "Invalid API key"}))
        # finnhub-python puts a slash too many into its URLs.
        if url.path.replace("//", "/") != "/api/v1/search":
            return self.reply(request, 404, json.dumps({"error": "not found"}))
        self.searches.append(query.get("q", ""))
        words = query.get("q", "").lower()
        found = [one for one in KNOWN if any(words in one[key].lower() for key in ["description", "symbol"])]
        return self.reply(request, 200, json.dumps({"count": len(found), "result": found}))

    @staticmethod
    def reply(request, status, body, headers={}):
        request.send_response(status)
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), "X-Ratelimit-Limit": "60",
                  "X-Ratelimit-Remaining": "59", "X-Ratelimit-Reset": str(int(time.time()) + 60)}
        for name, value in (fields | headers).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body.encode())
