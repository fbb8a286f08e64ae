"""One Postgres for all runs: each test of a database would start Kafka too, and wait for it.

As a pytest plugin it takes the place of tests/conftest.py.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ropewalk_deploy.stack import ports
from ropewalk_deploy.stack.local import down
from ropewalk_deploy.stack.model import Stack
from ropewalk_deploy.stack.paths import create_home, layout_of
from ropewalk_deploy.stack.postgres import await_answer, dsn, start
from ropewalk_deploy.stack.postgres_data import find_site, initialise


def _silent(_: str) -> None:
    """Nobody wants to know."""


@contextmanager
def a_postgres(home: Path) -> Iterator[str]:
    """The DSN of a Postgres of its own, stopped in the end."""
    layout = layout_of(home)
    create_home(layout)
    site, port, password = find_site(layout, remembered=None), ports.choose(), secrets.token_hex(8)
    initialise(site, password=password)
    process = start(layout, site, port=port, progress=_silent)
    try:
        await_answer(layout, process, data=site.data, port=port, password=password)
        yield dsn(port=port, password=password)
    finally:
        down(home, _silent)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", required=True, help="the DSN of a Postgres that runs already")


@pytest.fixture
def unique() -> str:
    """A name that no other test has."""
    return f"g{os.getpid()}x{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The Postgres that runs, and no Kafka."""
    home, address = tmp_path_factory.mktemp("no-stack"), request.config.getoption("--postgres")
    return Stack("no-kafka.invalid:1", address, home / "parquet", home, {}, home / "data")
