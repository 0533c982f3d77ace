# SPDX-License-Identifier: Apache-2.0
"""What Schemathesis has to be told of this interface."""
import schemathesis


@schemathesis.serializer("application/sql")
def statement(ctx, value):
    """A body that is SQL goes as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def filter_case(ctx, case):
    """`&order=` is what a form sends for a field that was left empty, and is the same as no `order`."""
    return all(value != "" for value in (case.query or {}).values())
