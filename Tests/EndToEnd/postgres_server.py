# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL of the test's own: what an operator would run, with the roles that Tapedeck asks for."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import psycopg
from conftest import ENVIRONMENT

BINARIES = pathlib.Path(subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True).stdout.strip())


class PostgresServer:
    """On a Unix socket and a loopback port, without passwords; `fsync` off, for nobody cuts its power."""

    def __init__(self):
        # Not in pytest's own folders: PostgreSQL does not run as root, and its user may not enter those.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-postgres-"))
        self.data = self.folder / "data"
        self.as_server = []
        if os.geteuid() == 0:
            self.as_server = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
            shutil.chown(self.folder, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def run(self, program, *arguments, **options):
        """Runs one of PostgreSQL's programs as its user."""
        done = subprocess.run(
            [*self.as_server, str(BINARIES / program), *map(str, arguments)], capture_output=True, text=True, cwd="/",
            env=ENVIRONMENT, timeout=180, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def make(self):
        """An empty server with both roles and the database, started."""
        self.run("initdb", "-D", self.data, "-U", "postgres", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
        self.start()
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute("create role tapedeck_writer login")
            connection.execute("create role tapedeck_reader login")
            connection.execute("create database tapedeck owner tapedeck_writer")
        return self

    def copy_of(self, primary, *arguments):
        """A base backup of another server, not started."""
        self.run(
            "pg_basebackup", "-h", primary.folder, "-p", primary.port, "-U", "postgres", "-D", self.data, "-X", "stream",
            "--checkpoint=fast", "--no-sync", *arguments)
        return self

    def start(self):
        # The log goes to a file: who waits for pg_ctl's output would wait for the server's end.
        with open(os.devnull, "wb") as nowhere:
            subprocess.run(
                [*self.as_server, str(BINARIES / "pg_ctl"), "-D", str(self.data), "-w", "-t", "120", "-l",
                 str(self.folder / "log"), "start", "-o",
                 f"-k {self.folder} -p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200 "
                 "-c max_wal_senders=5 -c wal_level=replica"],
                stdout=nowhere, stderr=nowhere, cwd="/", timeout=180, check=True)
        return self

    def stop(self, mode="fast"):
        subprocess.run(
            [*self.as_server, str(BINARIES / "pg_ctl"), "-D", str(self.data), "-m", mode, "-w", "stop"], cwd="/",
            capture_output=True, timeout=180)

    def close(self):
        if self.data.exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, role="tapedeck_writer", database="tapedeck"):
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def rows(self, query, role="tapedeck_writer"):
        with psycopg.connect(self.url(role)) as connection:
            return connection.execute(query).fetchall()

    def one(self, query, role="tapedeck_writer"):
        return self.rows(query, role)[0][0]
