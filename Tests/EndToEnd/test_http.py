# SPDX-License-Identifier: Apache-2.0
"""The HTTP server from outside, on raw sockets: what must be refused, what must be borne, and that it lives on."""
import gzip
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import time

import pytest
import requests

from conftest import BINARY, ENVIRONMENT, wait_until

GET = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(up, timeout=20):
    host, port = up.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


def read_to_end(connection):
    """Everything until the server closes; a reset is an end, too."""
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def exchange(up, data, half_close=False):
    with connect(up) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return read_to_end(connection)


def statuses(data):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


H = b"Host: localhost\r\n"
POST = b"POST /api/v1/sql HTTP/1.1\r\n" + H
SYMBOL = "BITSTAMP:BTCUSD"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("head,status", [
    (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
    (POST + b"Content-Length: +5\r\n\r\n", 400),
    (POST + b"Content-Length: 0x5\r\n\r\n", 400),
    (POST + b"Content-Length: 5,5\r\n\r\n", 400),
    (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (POST + b"Transfer-Encoding : chunked\r\n\r\n", 400),
    (POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n", 400),
    (POST + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET /live HTTP/1.1\nHost: localhost\n\n", 400),
    (b"GET /live HTTP/1.1\r\n" + H + b"X: a\rb\r\n\r\n", 400),
    (b"GET /live HTTP/1.1\r\n" + H + b"X: a\x00b\r\n\r\n", 400),
    (b"GET /live HTTP/1.1\r\n" + H + b"X : a\r\n\r\n", 400),
    (b"GET /live HTTP/1.1\r\n\r\n", 400),
    (b"GET /live HTTP/1.1\r\n" + H + H + b"\r\n", 400),
    (b"GET /live HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (b"GET /live\r\n\r\n", 400),
    (b"GET /live HTTP/2.0\r\n" + H + b"\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"BREW /live HTTP/1.1\r\n" + H + b"\r\n", 501),
    (b"CONNECT localhost:80 HTTP/1.1\r\n" + H + b"\r\n", 501),
    (b"GET /live HTTP/1.1\r\n" + H + b"Expect: tea\r\n\r\n", 417),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414),
    (b"GET /live HTTP/1.1\r\n" + H + b"X: " + b"a" * 17000 + b"\r\n\r\n", 431),
    (b"GET /live HTTP/1.1\r\n" + H + b"X: a\r\n" * 100 + b"\r\n", 431),
    (b"GET /live HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    (b"\x16\x03\x01\x02\x00\x01", 400),
])
def test_what_is_malformed_is_refused_and_nothing_behind_it_is_heard(played, head, status):
    reply = exchange(played, head + SMUGGLED)
    assert statuses(reply) == [status], reply[:300]
    assert b"Connection: close" in reply
    body = json.loads(reply.split(b"\r\n\r\n", 1)[1])
    assert body["code"] and body["message"]
    assert statuses(exchange(played, GET, half_close=True)) == [200]


@pytest.mark.parametrize("body", [
    b"5\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5;\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n", b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    b"8\r\nselect 1\r\n0\r\nX\r\n\r\n", b"8\r\nselect 1\r\n0\r\nX : y\r\n\r\n", b"g\r\n\r\n",
])
def test_broken_chunks_are_refused(played, body):
    reply = exchange(played, POST + b"Transfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n" + body + SMUGGLED)
    assert statuses(reply) == [400], reply[:300]


def test_chunks_with_extensions_and_trailers_are_read(played):
    reply = exchange(
        played, POST + b"Transfer-Encoding: chunked\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
        b"7;a=b\r\nselect \r\n01 ;c=\"d;\"\r\n1\r\n0\r\nX-Checksum: abc\r\n\r\n")
    assert statuses(reply) == [200]


def test_pipelined_requests_are_answered_in_order(played):
    count = 2000
    paths = [b"/version" if index % 3 else b"/live" for index in range(count)]
    sent = b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths)
    reply = exchange(played, sent, half_close=True)
    assert statuses(reply) == [200] * count
    names = [b"/version" if b'"version"' in part else b"/live" for part in reply.split(b"HTTP/1.1 200")[1:]]
    assert names == paths


@pytest.mark.parametrize("path", ["/live", "/api/v1/latest", "/api/v1/sql?query=select+pg_sleep(0.3)"])
def test_a_client_that_stops_sending_is_answered(played, path):
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    # One that takes a while is preceded by the interim answer by which the server finds out that somebody is there.
    assert [status for status in statuses(exchange(played, request, half_close=True)) if status != 102] == [200]


def test_a_request_may_come_byte_by_byte(played):
    with connect(played) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in POST + b"Content-Length: 8\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nselect 1":
            connection.send(bytes([byte]))
        assert statuses(read_to_end(connection)) == [200]


def test_methods_and_types_have_their_statuses(played):
    url = played.url
    wrong = requests.request("DELETE", url + "/live", timeout=30)
    assert wrong.status_code == 405 and "GET" in wrong.headers["Allow"]
    assert requests.get(url + "/nothing", timeout=30).status_code == 404
    for path, status in [(b"/%6cive", 200), (b"/%zz", 400), (b"/%ff", 400), (b"/nothing%20", 404)]:
        reply = exchange(played, b"GET " + path + b" HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
        assert statuses(reply) == [status], path
    assert requests.get(url + "/api/v1/sql?query=select+1", headers={"Accept": "image/png"}, timeout=30).status_code == 406
    typed = {"Content-Type": "image/png"}
    assert requests.post(url + "/api/v1/sql", data=b"x", headers=typed, timeout=30).status_code == 415
    packed = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    assert requests.post(url + "/api/v1/sql", data=gzip.compress(b"select 1"), headers=packed, timeout=30).status_code == 415
    assert statuses(exchange(played, POST + b"Connection: close\r\n\r\n")) == [411]
    for kind, status in [("image/png", 415), ("text/plain", 415), ("application/json", 200), (None, 200)]:
        reply = requests.post(url + "/simpod/metrics", data=b"{}", headers={"Content-Type": kind}, timeout=30)
        assert reply.status_code == status, (kind, reply.text)
    assert statuses(exchange(played, POST + b"Content-Type: text/plain\r\nContent-Length: 2000000\r\n\r\n")) == [413]
    options = requests.options(url + "/api/v1/sql", timeout=30)
    assert options.status_code == 204 and "POST" in options.headers["Allow"]
    everything = exchange(played, b"OPTIONS * HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
    assert statuses(everything) == [204] and b"\r\nAllow: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n" in everything
    head = requests.head(url + "/version", timeout=30)
    assert head.status_code == 200 and not head.content and int(head.headers["Content-Length"]) > 0


def test_100_continue_comes_before_the_body_and_only_if_it_is_wanted(played):
    with connect(played) as connection:
        connection.sendall(
            POST + b"Content-Length: 8\r\nContent-Type: text/plain\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"select 1")
        assert statuses(read_to_end(connection)) == [200]
    refused = exchange(
        played, b"POST /live HTTP/1.1\r\n" + H + b"Content-Length: 8\r\nExpect: 100-continue\r\n\r\n")
    assert statuses(refused) == [405]


@pytest.mark.parametrize("format", ["csv", "ndjson", "json", "objects"])
def test_results_are_compressed_as_they_stream(played, format):
    query = {"query": "select g, 'text ' || g as t from generate_series(1, 50000) g", "format": format}
    plain = requests.get(
        played.url + "/api/v1/sql", params=query, headers={"Accept-Encoding": "identity"}, timeout=60)
    packed = requests.get(
        played.url + "/api/v1/sql", params=query, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=60)
    assert packed.headers["Content-Encoding"] == "gzip" and "Accept-Encoding" in packed.headers["Vary"]
    raw = packed.raw.read(decode_content=False)
    assert len(raw) < len(plain.content) / 3

    def same(body):
        text = body.decode()
        if format == "json":
            text = json.dumps(json.loads(text)["rows"])
        return text

    assert same(gzip.decompress(raw)) == same(plain.content)


def test_a_failure_after_the_first_rows_breaks_a_compressed_body(played):
    query = "select 1/(60000-g) from generate_series(1, 100000) g"
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(
            played.url + "/api/v1/sql", params={"query": query, "format": "csv"}, headers={"Accept-Encoding": "gzip"},
            timeout=60).content


def test_peers_that_break_off_cost_nothing(played):
    before = len(os.listdir(f"/proc/{played.process.pid}/fd"))
    for index in range(300):
        connection = connect(played)
        connection.sendall([b"GET /li", GET, POST + b"Content-Length: 100\r\n\r\nselect", GET * 50][index % 4])
        if index % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert statuses(exchange(played, GET, half_close=True)) == [200]
    wait_until(lambda: len(os.listdir(f"/proc/{played.process.pid}/fd")) <= before + 5, 30, "descriptors", played)


def test_many_short_connections_leave_nothing_behind(played):
    """Descriptors and memory after many connections are what they were after the first few."""
    host, port = played.url.removeprefix("http://").split(":")

    def connections(count):
        for _ in range(count):
            with socket.create_connection((host, int(port)), 20) as connection:
                connection.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                while connection.recv(4096):
                    pass

    def state():
        status = open(f"/proc/{played.process.pid}/status").read()
        memory = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        return len(os.listdir(f"/proc/{played.process.pid}/fd")), memory

    connections(5000)
    descriptors, memory = state()
    connections(20_000)
    wait_until(lambda: state()[0] <= descriptors + 5, 30, "descriptors", played)
    # 20,000 connections that leave 512 bytes each would be 10 MiB.
    assert state()[1] < memory + 10 * 1024


class Serve:
    """A `tapedeck serve` on the database of another server, with settings of its own."""

    def __init__(self, up, *arguments, files=None):
        def limit():
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        environment = ENVIRONMENT | {"TAPEDECK_READER_URL": up.reader_url, "TAPEDECK_LISTEN": "127.0.0.1:0"}
        self.process = subprocess.Popen(
            [str(BINARY), "serve", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment, preexec_fn=limit)
        line = self.process.stdout.readline().decode()
        assert "listening on " in line, line + self.process.stderr.read().decode()
        self.url = line.split("listening on ")[1].strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()


def is_answered(server):
    """Whether a connection is answered; one that is refused may be gone before we have closed our side of it."""
    try:
        return statuses(exchange(server, GET, half_close=True)) == [200]
    except OSError:
        return False


def test_it_survives_being_out_of_descriptors(played):
    with Serve(played, "--loops", "1", files=80) as server:
        held = [connect(server) for _ in range(120)]
        # Those that found a descriptor are served; the others wait, or are told that there are too many.
        held[0].sendall(GET)
        assert statuses(held[0].recv(4096)) == [200]
        assert server.process.poll() is None
        for connection in held:
            connection.close()
        wait_until(lambda: is_answered(server), 30, "connections to work again")


def test_connections_are_limited_in_all_and_for_each_address(played):
    for setting in ["--max-connections", "--max-connections-per-address"]:
        with Serve(played, "--loops", "1", setting, "3") as server:
            held = [connect(server) for _ in range(3)]
            for connection in held:
                connection.sendall(GET)
                assert statuses(connection.recv(4096)) == [200]
            refused = exchange(server, GET)
            assert statuses(refused) == [503] and b"Retry-After: " in refused
            held.pop().close()
            wait_until(lambda: is_answered(server), 30, "room for one more")
            for connection in held:
                connection.close()


def test_slow_heads_and_bodies_cost_their_own_connection(played):
    with Serve(played, "--head-timeout", "300ms", "--transfer-timeout", "300ms", "--idle-timeout", "300ms") as server:
        with connect(server) as head, connect(server) as body, connect(server) as idle:
            head.sendall(b"GET /live HT")
            body.sendall(POST + b"Content-Type: text/plain\r\nContent-Length: 100\r\n\r\nselect")
            assert statuses(exchange(server, GET, half_close=True)) == [200]
            assert statuses(read_to_end(head)) == [408]
            assert statuses(read_to_end(body)) == [408]
            assert read_to_end(idle) == b""


def test_proxies_are_believed_when_they_are_named(played):
    proxied = ["--trusted-proxies", "127.0.0.1", "--proxy-protocol", "on", "--log-level", "info"]
    with Serve(played, *proxied) as server:
        assert statuses(exchange(server, b"PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\n" + GET, half_close=True)) == [200]
        assert exchange(server, GET) == b""
        assert exchange(server, b"PROXY TCP4 192.0.2.7\r\n" + GET) == b""
        server.process.terminate()
        assert "192.0.2.7:1" in server.process.communicate(timeout=30)[1].decode()
    assert statuses(exchange(played, b"PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\n" + GET)) in ([400], [501])


def test_pages_of_allowed_origins_may_ask(played):
    with Serve(played, "--cors-origins", "https://app.example") as server:
        asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST",
                  "Access-Control-Request-Headers": "content-type"}
        preflight = requests.options(server.url + "/api/v1/sql", headers=asking, timeout=30)
        assert preflight.status_code == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        reply = requests.get(server.url + "/live", headers={"Origin": "https://evil.example"}, timeout=30)
        assert "Access-Control-Allow-Origin" not in reply.headers and reply.headers["Vary"] == "Origin"
        page = requests.get(
            server.url + "/api/v1/trades?limit=5000&format=csv", headers={"Origin": "https://app.example"}, timeout=30)
        assert page.headers["X-Next-Page-Token"] and page.headers["Access-Control-Expose-Headers"] == "*"


def test_stopping_finishes_what_is_under_way_and_twice_stops_at_once(played):
    slow = b"GET /api/v1/sql?query=select+pg_sleep(1) HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Serve(played, "--drain-timeout", "20s") as server, connect(server) as busy, connect(server) as idle:
        busy.sendall(slow)
        idle.sendall(GET)
        assert statuses(idle.recv(4096)) == [200]
        wait_until(lambda: played.one(
            "select count(*) from pg_stat_activity where query like 'select pg_sleep(1)%%' and state = 'active'") > 0,
            30, "the query to begin", played)
        server.process.send_signal(signal.SIGTERM)
        assert read_to_end(idle) == b""
        reply = read_to_end(busy)
        assert statuses(reply) == [200] and b"Connection: close" in reply
        assert server.process.wait(30) == 0
    with Serve(played, "--drain-timeout", "60s") as server, connect(server) as busy:
        busy.sendall(slow.replace(b"sleep(1)", b"sleep(30)"))
        wait_until(lambda: played.one(
            "select count(*) from pg_stat_activity where query like 'select pg_sleep(30)%%' and state = 'active'") > 0,
            30, "the query to begin", played)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert server.process.poll() is None
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 128 + signal.SIGTERM
        assert time.monotonic() - begun < 10


def test_head_answers_as_get_without_the_body(played):
    """Of everything that can be read: the same status and type, and where a length is told, the one of GET."""
    index = requests.get(played.url, headers={"Accept": "application/json"}, timeout=30).json()["endpoints"]
    paths = {entry["path"] for entry in index if "GET" in entry["methods"] and "{" not in entry["path"]}
    assert {"/live", "/api/v1/sql", "/api/v1/stream", "/api/v1/latest", "/openapi.json"} <= paths
    queries = {
        "/api/v1/sql": "query=select+1", "/api/v1/bars": f"symbol={SYMBOL}&timeframe=1d",
        "/api/v1/indicators": f"symbol={SYMBOL}&timeframe=1d", "/api/v1/trades": f"symbol={SYMBOL}",
        "/grafana/series": f"symbols={SYMBOL}", "/grafana/candles": f"symbol={SYMBOL}", "/grafana/table": "name=symbols",
        "/api/v1/quote": f"symbol={SYMBOL}", "/api/v3/klines": f"symbol={SYMBOL}&interval=1d"}
    # What tells the time, or how long it took, is of another length each time.
    changes = {"/metrics", "/api/v1/sql", "/api/v1/queries", "/api/v1/sources", "/v1/info"}
    answered = 0
    for path in sorted(paths):
        url = f"{played.url}{path}?{queries.get(path, '')}".rstrip("?")
        options = {"headers": {"Accept-Encoding": "identity"}, "timeout": 30, "allow_redirects": False}
        head = requests.head(url, **options)
        with requests.get(url, stream=True, **options) as get:
            answered += get.status_code == 200
            assert head.status_code == get.status_code, path
            assert head.headers.get("Content-Type") == get.headers.get("Content-Type"), path
            told, length = head.headers.get("Content-Length"), get.headers.get("Content-Length")
            if told is not None:
                assert length is not None, path
                assert told == length or path in changes and int(told) > 0, (path, told, length)
    assert answered >= 20
