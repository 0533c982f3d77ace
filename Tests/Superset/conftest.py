# SPDX-License-Identifier: Apache-2.0
"""The Superset of the tests of one file: there can be only one in a process."""
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

HOME = tempfile.mkdtemp(prefix="tapedeck-superset-")
os.environ.update(
    SUPERSET_TEST_HOME=HOME, SUPERSET_HOME=HOME, SUPERSET_CONFIG_PATH=str(pathlib.Path(__file__).with_name("superset_config.py")),
    FLASK_APP="superset.app:create_app()")


@pytest.fixture(scope="session")
def superset():
    """A client of a Superset of its own, signed in."""
    commands = [
        ["db", "upgrade"],
        ["fab", "create-admin", "--username", "admin", "--firstname", "a", "--lastname", "b", "--email", "a@b.c", "--password", "admin"],
        ["init"],
    ]
    for command in commands:
        subprocess.run(
            [str(pathlib.Path(sys.executable).with_name("superset")), *command], check=True, capture_output=True, timeout=300)
    from superset.app import create_app

    app = create_app()
    client = app.test_client()
    token = client.post(
        "/api/v1/security/login",
        json={"username": "admin", "password": "admin", "provider": "db", "refresh": True}).json["access_token"]
    return Superset(app, token)


class Superset:
    def __init__(self, app, token):
        self.app = app
        self.headers = {"Authorization": "Bearer " + token}

    def call(self, method, path, expected=(200, 201), **options):
        reply = self.app.test_client().open("/api/v1/" + path, method=method, headers=self.headers, **options)
        assert reply.status_code in expected, f"{method} {path}: {reply.status_code} {reply.text[:2000]}"
        return reply

    def get(self, path, **options):
        return self.call("GET", path, **options).json

    def post(self, path, body, **options):
        return self.call("POST", path, json=body, **options).json
