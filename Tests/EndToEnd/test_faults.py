# SPDX-License-Identifier: Apache-2.0
"""A few seeds of faults.py; `make faults SEEDS=20` runs more."""
import faults
import pytest


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    path = tmp_path_factory.mktemp("tape") / "tape.csv"
    faults.write_tape(path)
    return path


@pytest.fixture(scope="module")
def wanted(tape):
    return faults.expected(tape)


@pytest.mark.parametrize("engine, seed", [("sqlite", 1), ("sqlite", 2)])
def test_whatever_dies_the_tables_end_as_they_do_without(engine, seed, tape, wanted):
    print("seed", seed, *faults.check(engine, seed, tape, wanted))
    assert len(wanted["trades"]) > 3900 and len(wanted["rejected"]) == len(faults.BAD_LINES)
