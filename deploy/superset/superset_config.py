# SPDX-License-Identifier: Apache-2.0
"""Superset's settings beside Tapedeck: what it keeps is in SUPERSET_HOME, what is secret comes by the environment."""
import os

from sqlalchemy.engine import make_url

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = f"sqlite:///{os.environ['SUPERSET_HOME']}/superset.db"
SQLLAB_TIMEOUT = 60
# Charts beyond this many rows are cut off by Superset, and say so.
ROW_LIMIT = 50_000

TAPEDECK = make_url(os.environ["TAPEDECK_TRINO"])


def DB_CONNECTION_MUTATOR(uri, parameters, username, security_manager, source):  # noqa: N802 (Superset's name)
    """Shows Tapedeck its API key. Trino's client gives a password over https only, and a key that is kept in the parameters
    of a database can be read by all who may edit it. To other hosts the key is not sent."""
    key = os.environ.get("TAPEDECK_KEY")
    if key and uri.get_backend_name() == "trino" and (uri.host, uri.port) == (TAPEDECK.host, TAPEDECK.port):
        connection = parameters.setdefault("connect_args", {})
        connection["http_headers"] = {**(connection.get("http_headers") or {}), "X-API-Key": key}
    return uri, parameters
