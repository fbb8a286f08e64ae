"""Fixtures shared by all tests: one local Kafka and Postgres per session, fresh names per test."""

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.pipeline import Pipeline, local_pipeline

from ropewalk_deploy.stack.local import down, up
from ropewalk_deploy.stack.model import Stack

DATA = Path(os.environ.get("ROPEWALK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running local stack; started when the first test asks for it."""
    home = tmp_path_factory.mktemp("stack")
    home.parent.chmod(0o755)  # the database server's user must get in when tests run as root
    stack = up(home, print)
    try:
        yield stack
    finally:
        down(home, print)
        shutil.rmtree(stack.postgres_data, ignore_errors=True)  # may be outside of the home


_serial = itertools.count(1)


@pytest.fixture
def unique() -> str:
    """A name no other test of this session uses, fit for topics, groups and databases."""
    return f"t{os.getpid()}x{next(_serial)}"


@pytest.fixture(scope="session")
def real_logs() -> Path:
    """The folder of real agent logs; the test is skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real logs at {DATA} (set ROPEWALK_TEST_DATA)")
    return DATA


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Servers with topics and tables of their own; tests start the programs they need."""
    with local_pipeline(tmp_path_factory.mktemp("pipeline")) as pipeline:
        yield pipeline
