# SPDX-License-Identifier: Apache-2.0
"""Superset's settings for the tests: SQLite, no workers, no cache."""
import os

SECRET_KEY = "only for tests, in a folder that is thrown away"
SQLALCHEMY_DATABASE_URI = "sqlite:///" + os.environ["SUPERSET_TEST_HOME"] + "/superset.db"
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
PREVENT_UNSAFE_DB_CONNECTIONS = False
SQLLAB_TIMEOUT = 60
FEATURE_FLAGS = {"ESTIMATE_QUERY_COST": True}
