import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ropewalk_deploy.stack import ports
from ropewalk_deploy.stack.choices import agreed_state, standing_notes
from ropewalk_deploy.stack.paths import Layout, layout_of
from ropewalk_deploy.stack.state import State


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_of(tmp_path)


@pytest.fixture
def first(layout: Layout) -> State:
    state, _ = agreed_state(layout, None, running=(), data=layout.postgres_data)
    return state


@pytest.fixture
def intruder(first: State) -> Iterator[int]:
    with socket.create_server((ports.HOST, first.kafka_port)):
        yield first.kafka_port


def test_the_first_choice_has_three_ports_and_a_password(first: State) -> None:
    assert len({first.kafka_port, first.controller_port, first.postgres_port}) == 3
    assert len(first.postgres_password) == 32


def test_what_is_remembered_stays(layout: Layout, first: State) -> None:
    assert agreed_state(layout, first, running=(), data=first.postgres_data) == (first, [])


def test_a_port_taken_by_somebody_else_is_replaced_and_that_is_said(
    layout: Layout, first: State, intruder: int
) -> None:
    state, notes = agreed_state(layout, first, running=(), data=first.postgres_data)
    assert state == dataclasses.replace(first, kafka_port=state.kafka_port)
    assert notes == [
        f"Port {intruder} is taken by another program; Kafka now listens on port {state.kafka_port}"
    ]


@pytest.mark.usefixtures("intruder")
def test_a_port_taken_by_our_own_server_stays(layout: Layout, first: State) -> None:
    state, notes = agreed_state(layout, first, running={"kafka"}, data=first.postgres_data)
    assert (state, notes) == (first, [])


def test_data_outside_the_home_is_said_every_time(layout: Layout, first: State) -> None:
    elsewhere = dataclasses.replace(first, postgres_data=layout.outside[0] / "data")
    assert standing_notes(layout, first) == []
    assert str(elsewhere.postgres_data) in standing_notes(layout, elsewhere)[0]


def test_data_that_moved_is_said(layout: Layout, first: State) -> None:
    gone = dataclasses.replace(first, postgres_data=Path("/gone/data"))
    state, notes = agreed_state(layout, gone, running=(), data=layout.postgres_data)
    assert state.postgres_data == layout.postgres_data
    assert notes == [f"Postgres' data is no longer in /gone/data; using {layout.postgres_data}"]


def test_data_of_an_earlier_stack_is_said(layout: Layout, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier" / "data"
    earlier.mkdir(parents=True)
    _, notes = agreed_state(layout, None, running=(), data=earlier)
    assert "earlier stack" in notes[0]
    assert str(earlier.parent) in notes[0]
