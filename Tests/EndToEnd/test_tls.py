# SPDX-License-Identifier: Apache-2.0
"""TLS of `tapedeck up`, by clients that are not ours: Python's ssl, requests, and OpenSSL's s_client."""
import concurrent.futures
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest
import requests
from conftest import ENVIRONMENT, Up, run, wait_until


class Certificates:
    """An authority and what it signs, in a folder of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.authority("ca")

    def path(self, name):
        return str(self.folder / name)

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def authority(self, name):
        self.openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN=Authority {name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout",
            f"{name}.key", "-out", f"{name}.pem")

    def leaf(self, name, *names, subject=None, authority="ca"):
        self.openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            subject or f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self.folder / f"{name}.ext").write_text(
            f"subjectAltName={','.join(names)}\nbasicConstraints=CA:FALSE\n" if names else "basicConstraints=CA:FALSE\n")
        # Under another name first: a server that reads the files in between must never see half a file.
        signer = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}.key"]
        self.openssl(
            "x509", "-req", "-in", f"{name}.csr", "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.pem", *signer)


@pytest.fixture(scope="module")
def certificates():
    folder = tempfile.mkdtemp(prefix="tapedeck-tls-")
    made = Certificates(folder)
    made.leaf("local", "DNS:localhost", "IP:127.0.0.1")
    made.leaf("other", "DNS:other.test", "DNS:*.other.test")
    yield made
    shutil.rmtree(folder, ignore_errors=True)


class SecureUp(Up):
    """`tapedeck up` with TLS."""

    def __init__(self, folder, certificates, *arguments):
        self.authority = certificates.path("ca.pem")
        super().__init__(
            folder, "--tls-cert", ",".join(certificates.path(f"{n}.pem") for n in ["local", "other"]),
            "--tls-key", ",".join(certificates.path(f"{n}.key") for n in ["local", "other"]), "--log-level", "info",
            *arguments)
        self.url = "https://" + self.environment["TAPEDECK_LISTEN"]
        self.address = ("127.0.0.1", int(self.url.rsplit(":", 1)[1]))

    def is_ready(self):
        assert self.process.poll() is None, "tapedeck up ended:\n" + self.output()
        return "is up: https://" in self.output() and (self.folder / "connection.env").exists()

    def start(self):
        (self.folder.parent / "up.log").unlink(missing_ok=True)
        super().start()

    def context(self, **options):
        context = ssl.create_default_context(cafile=self.authority)
        for name, value in options.items():
            setattr(context, name, value)
        return context

    def connect(self, context=None, name="localhost", session=None):
        plain = socket.create_connection(self.address, timeout=30)
        return (context or self.context()).wrap_socket(plain, server_hostname=name, session=session)

    def get(self, path="/live", **options):
        return requests.get(self.url + path, verify=self.authority, timeout=60, **options)


@pytest.fixture(scope="module")
def secure(certificates):
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-e2e-"))
    up = SecureUp(base / "data", certificates, "--source", "replay:samples/trades.csv.gz?speed=max",
        "--hsts-max-age", "30d")
    yield up
    up.close()
    shutil.rmtree(base, ignore_errors=True)


def ask(connection, path="/live"):
    """One request on an open connection; the status and the body."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def test_requests_of_a_checking_client_are_answered(secure):
    for path in ["/live", "/ready", "/api/v1/symbols?limit=1"]:
        assert secure.get(path).status_code == 200
    assert secure.get("/api/v1/sql", params={"query": "select 1 as one", "format": "objects"}).json() == [{"one": 1}]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken_and_http_1_1_is_agreed_on(secure, version):
    context = secure.context(minimum_version=version, maximum_version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secure.connect(context) as connection:
        assert connection.version() == version.name.replace("_", ".")
        assert connection.selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            assert ask(connection)[0] == 200


def test_what_is_not_spoken_is_refused_with_an_alert(secure):
    old = secure.context()
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="(?i)alert protocol version|unsupported protocol"):
        secure.connect(old)
    h2 = secure.context()
    h2.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="(?i)no application protocol"):
        secure.connect(h2)
    assert secure.get().status_code == 200


def test_the_name_chooses_the_certificate(secure):
    for name, expected in [("localhost", "local"), ("other.test", "other"), ("a.other.test", "other")]:
        with secure.connect(name=name) as connection:
            assert dict(field[0] for field in connection.getpeercert()["subject"])["commonName"] == expected
    with pytest.raises(ssl.SSLCertVerificationError, match="(?i)hostname mismatch"):
        secure.connect(name="nobody.test")


def s_client(up, *arguments, stdin=b"", timeout=60):
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{up.address[1]}", "-servername", "localhost", "-CAfile",
         up.authority, *arguments], input=stdin, capture_output=True, timeout=timeout)


@pytest.mark.parametrize("options", [["-tls1_3"], ["-tls1_2"], ["-tls1_2", "-no_ticket"]])
def test_sessions_are_resumed(secure, certificates, options):
    """With tickets, and by session id where the client takes no tickets."""
    saved = certificates.path("session" + "".join(options))
    request = b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    first = s_client(secure, *options, "-ign_eof", "-sess_out", saved, stdin=request)
    assert b"\nNew, TLSv1." in first.stdout and b"200 OK" in first.stdout, first
    again = s_client(secure, *options, "-ign_eof", "-sess_in", saved, stdin=request)
    assert b"\nReused, TLSv1." in again.stdout and b"200 OK" in again.stdout, again


def test_openssl_finds_the_chain_good_and_the_end_clean(secure):
    result = s_client(secure, "-ign_eof", stdin=b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"Verify return code: 0 (ok)" in result.stdout
    # With close_notify the end is clean; s_client would complain of an unexpected EOF.
    assert b"unexpected eof" not in result.stdout + result.stderr


def test_renegotiation_is_refused_and_the_server_goes_on(secure):
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{secure.address[1]}", "-tls1_2", "-CAfile", secure.authority],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        process.stdin.write(b"R\n")
        process.stdin.flush()
        output = process.communicate(timeout=30)[0]
    finally:
        process.kill()
    assert b"RENEGOTIATING" in output and b"no renegotiation" in output.lower(), output[-2000:]
    assert secure.get().status_code == 200


def test_new_keys_in_the_middle_of_a_connection(secure):
    """`K` has s_client change its keys and ask the server to do so too (RFC 8446, 4.6.3)."""
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{secure.address[1]}", "-tls1_3", "-CAfile", secure.authority],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for piece in [b"K\n", b"GET /live HTTP/1.1\r\nHost: localhost\r\n", b"K\n", b"Connection: close\r\n\r\n"]:
            process.stdin.write(piece)
            process.stdin.flush()
            time.sleep(0.3)
        output = process.communicate(timeout=30)[0]
    finally:
        process.kill()
    assert output.count(b"KEYUPDATE") == 2 and b"200 OK" in output, output[-2000:]


def test_a_plain_request_is_told_to_use_https(secure):
    for method in ["GET", "OPTIONS", "DELETE"]:
        response = requests.request(method, secure.url.replace("https", "http") + "/live", timeout=30)
        assert response.status_code == 400
        assert response.json()["code"] == "tls_plain_http" and "https://" in response.json()["hint"]
        assert "Strict-Transport-Security" not in response.headers and "X-Frame-Options" in response.headers


def test_browsers_are_told_to_come_by_https_only(secure):
    for path in ("/", "/live", "/api/v1/latest", "/nothing"):
        for accept in ("text/html", "*/*"):
            response = secure.get(path, headers={"Accept": accept})
            assert response.headers["Strict-Transport-Security"] == "max-age=2592000", path


def test_what_is_no_handshake_costs_only_its_own_connection(secure):
    hello = bytearray()
    listening = socket.create_server(("127.0.0.1", 0))
    # A real ClientHello, taken from Python's client, to cut and to break.
    def take():
        with listening.accept()[0] as accepted:
            hello.extend(accepted.recv(65536))

    thread = threading.Thread(target=take)
    thread.start()
    with pytest.raises((ssl.SSLError, OSError)):
        with socket.create_connection(listening.getsockname()) as plain:
            secure.context().wrap_socket(plain, server_hostname="localhost")
    thread.join()
    broken = [
        b"\x16\x03\x01\xff\xff" + b"x" * 100, b"\x16\x03\x01\x00\x05hello", b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x00" * 100, b"\x80\x2e\x01\x00\x02" + b"\x00" * 60, bytes(hello[:-1]) + b"\xff" * 40, bytes(hello[:20]),
        bytes(hello) + bytes(hello),
    ]
    for index in range(0, len(hello), 7):
        changed = bytearray(hello)
        changed[index] ^= 0xFF
        broken.append(bytes(changed))
    for text in broken:
        with socket.create_connection(secure.address, timeout=30) as plain:
            plain.sendall(text)
            plain.shutdown(socket.SHUT_WR)
            try:
                while plain.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    assert secure.get().status_code == 200


def test_a_record_that_was_tampered_with_ends_the_connection(secure):
    with socket.create_connection(secure.address, timeout=30) as plain:
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = secure.context().wrap_bio(into, out, server_hostname="localhost")
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(out.read())
                into.write(plain.recv(65536))
        plain.sendall(out.read())
        client.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        record = bytearray(out.read())
        record[-1] ^= 1
        plain.sendall(record)
        received = b""
        try:
            while piece := plain.recv(65536):
                received += piece
                into.write(piece)
        except ConnectionResetError:
            pass
        with pytest.raises(ssl.SSLError, match="(?i)bad record mac"):
            client.read()
            client.read()


def test_a_slow_handshake_ends_at_its_deadline(secure):
    begun = time.monotonic()
    with socket.create_connection(secure.address, timeout=60) as plain:
        plain.sendall(b"\x16\x03\x01")
        assert plain.recv(100) == b""
    # The deadline is 10 s; what is above it is room for a busy machine.
    assert 8 < time.monotonic() - begun < 30


def test_a_large_body_waits_for_a_slow_reader_and_memory_stays_flat(secure):
    rows = 2_000_000
    query = f"select g, repeat('x', 50) from generate_series(1, {rows}) g"

    def resident():
        status = pathlib.Path(f"/proc/{secure.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    before = resident()
    with requests.get(
        secure.url + "/api/v1/sql", params={"query": query, "format": "csv"}, verify=secure.authority, stream=True,
        timeout=60,
    ) as response:
        pieces = response.iter_content(1 << 16)
        count = next(pieces).count(b"\n")
        time.sleep(1)
        assert resident() < before + 40, "the server runs ahead of its client"
        for piece in pieces:
            count += piece.count(b"\n")
    assert count == rows + 1
    assert resident() < before + 40


def test_a_million_rows_are_the_same_as_in_plain_text(secure, folder):
    query = "select g as id, g * 1.5 as value, md5(g::text) as hash from generate_series(1, 1000000) g"
    with subprocess.Popen(
        ["psql", secure.reader_url, "-c", f"copy ({query}) to stdout with (format csv, header)"],
        stdout=subprocess.PIPE, env=ENVIRONMENT,
    ) as psql:
        expected = psql.stdout.read()
    got = secure.get("/api/v1/sql", params={"query": query, "format": "csv"}).content.replace(b"\r\n", b"\n")
    assert len(got) > 40_000_000 and got == expected


def test_many_clients_at_once(secure):
    def work(index):
        with requests.Session() as session:
            return [session.get(secure.url + "/live", verify=secure.authority, timeout=60).status_code for _ in range(20)]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert {status for statuses in pool.map(work, range(48)) for status in statuses} == {200}


def test_the_command_checks_the_certificate(secure, certificates):
    sql = "select 40 + 2 as answer"
    url = f"https://localhost:{secure.address[1]}"
    good = run("query", "--server", url, "--tls-ca", secure.authority, "--format", "csv", sql)
    assert good.stdout == b"answer\r\n42\r\n" or good.stdout == b"answer\n42\n"
    unknown = run("query", "--server", url, sql, check=False)
    assert unknown.returncode != 0 and b"certificate" in unknown.stderr and b"--tls-ca" in unknown.stderr
    certificates.authority("stranger")
    wrong = run("query", "--server", url, "--tls-ca", certificates.path("stranger.pem"), sql, check=False)
    assert wrong.returncode != 0 and b"certificate" in wrong.stderr
    host = f"https://127.0.0.2:{secure.address[1]}"
    # The name is checked before anything is sent, so where the server does not listen does not matter.
    assert run("query", "--server", host, "--tls-ca", secure.authority, sql, check=False).returncode != 0
    missing = run("query", "--server", url, "--tls-ca", "/nonexistent.pem", sql, check=False)
    assert missing.returncode != 0 and b"/nonexistent.pem cannot be read" in missing.stderr


def test_no_key_is_in_the_log(secure, certificates):
    secure.get()
    for name in ["local", "other"]:
        key = pathlib.Path(certificates.path(f"{name}.key")).read_text().splitlines()[1]
        assert key not in secure.output()


@pytest.fixture
def base():
    path = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-e2e-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_clients_must_show_a_certificate_where_it_is_required(base, certificates):
    certificates.authority("clients")
    certificates.leaf("alice", subject="/O=Desk/CN=alice", authority="clients")
    certificates.leaf("mallory", subject="/CN=alice", authority="ca")
    up = SecureUp(base / "data", certificates, "--tls-client-ca", certificates.path("clients.pem"))
    try:
        pair = (certificates.path("alice.pem"), certificates.path("alice.key"))
        assert up.get(cert=pair).status_code == 200
        with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError), match="(?i)certificate"):
            up.get()
        with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError), match="(?i)unknown ca"):
            up.get(cert=(certificates.path("mallory.pem"), certificates.path("mallory.key")))
        # A session that was made with a certificate may be resumed without showing it again.
        context = up.context()
        context.load_cert_chain(*pair)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with up.connect(context) as first:
            assert ask(first)[0] == 200
            session = first.session
        with up.connect(context, session=session) as again:
            assert again.session_reused and ask(again)[0] == 200
    finally:
        up.close()


def test_certificates_are_renewed_without_losing_a_connection_or_a_request(base, certificates):
    renewed = Certificates(base)
    renewed.leaf("local", "DNS:localhost", "IP:127.0.0.1", subject="/CN=first")
    renewed.leaf("other", "DNS:other.test")
    up = SecureUp(base / "data", renewed)

    def subject():
        with up.connect() as connection:
            return dict(field[0] for field in connection.getpeercert()["subject"])["commonName"]

    try:
        assert subject() == "first"
        kept = up.connect()
        ask(kept)
        stop = threading.Event()
        failures, served = [], [0]

        def load():
            while not stop.is_set():
                try:
                    assert up.get().status_code == 200
                    served[0] += 1
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for round in range(5):
            renewed.leaf("local", "DNS:localhost", "IP:127.0.0.1", subject=f"/CN=round {round}")
            up.process.send_signal(signal.SIGHUP)
            wait_until(lambda: subject() == f"round {round}", 30, "the new certificate", up)
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures and served[0] > 20
        # A broken file changes nothing, and the log says why.
        pathlib.Path(renewed.path("local.pem")).write_text("broken")
        up.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the certificates stay as they were" in up.output(), 30, "the complaint", up)
        assert "local.pem holds no usable certificate" in up.output()
        assert subject() == "round 4" and ask(kept)[0] == 200
        kept.close()
        assert up.stop()[0] == 0
    finally:
        up.close()


def test_stopping_ends_idle_connections_with_a_close_notify(base, certificates):
    up = SecureUp(base / "data", certificates)
    try:
        connection = up.connect(up.context(minimum_version=ssl.TLSVersion.TLSv1_3))
        connection.suppress_ragged_eofs = False
        ask(connection)
        up.process.send_signal(signal.SIGTERM)
        connection.settimeout(30)
        assert connection.recv(100) == b""
        assert up.process.wait(30) == 0
    finally:
        up.close()


@pytest.mark.parametrize("arguments, words", [
    (["--tls-cert", "/nonexistent.pem"], ["/nonexistent.pem cannot be read"]),
    (["--tls-key", "/x.key"], ["TAPEDECK_TLS_KEY", "TAPEDECK_TLS_CERT"]),
    (["--tls-cert", "a.pem,b.pem", "--tls-key", "a.key"], ["TAPEDECK_TLS_KEY", "1 files for 2"]),
    (["--tls-cert", "a.pem", "--tls-client-auth", "optional"], ["TAPEDECK_TLS_CLIENT_AUTH", "TAPEDECK_TLS_CLIENT_CA"]),
    (["--tls-cert", "a.pem", "--tls-min-version", "1.1"], ["TAPEDECK_TLS_MIN_VERSION", "1.2, 1.3"]),
    (["--hsts-max-age", "1d"], ["TAPEDECK_HSTS_MAX_AGE", "TAPEDECK_TLS_CERT"]),
    (["--tls-cert", "a.pem,"], ["TAPEDECK_TLS_CERT"]),
])
def test_settings_that_cannot_work_are_refused_before_anything_starts(folder, arguments, words):
    result = run("up", "--data-dir", folder, "--listen", "127.0.0.1:0", *arguments, check=False)
    assert result.returncode != 0
    for word in words:
        assert word in result.stderr.decode()
    assert not (folder / "postgres").exists()


def test_tls_alone_does_not_open_the_server_to_others(folder, certificates):
    pair = ["--tls-cert", certificates.path("local.pem"), "--tls-key", certificates.path("local.key")]
    for command in [["up", "--data-dir", folder], ["serve"]]:
        result = run(*command, "--listen", "0.0.0.0:0", *pair, check=False)
        assert result.returncode != 0 and "--insecure" in result.stderr.decode()
