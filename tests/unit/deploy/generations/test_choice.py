"""What windows mean, and what a generation may be called."""

import pytest

from ropewalk_deploy.errors import SettingError
from ropewalk_deploy.generations.choice import Choice, parse_ranges
from ropewalk_deploy.generations.names import check_name, topics_of
from ropewalk_schemas.windows import to_micros

HOUR = "2026-03-01T12:00:00Z/3600s"


def takes(texts: list[str], start: str, length_s: int = 3600, project: str | None = None) -> bool:
    ((begin, _),) = parse_ranges([f"{start}/{length_s}s"])
    return Choice(parse_ranges(texts), project).takes(to_micros(begin), length_s, "shop")


@pytest.mark.parametrize(
    ("texts", "start", "taken"),
    [
        ([HOUR], "2026-03-01T12:00:00Z", True),
        ([HOUR], "2026-03-01T13:00:00Z", False),
        ([HOUR], "2026-03-01T11:00:00Z", False),
        (["2026-03-01T12:30:00Z/2026-03-01T12:31:00Z"], "2026-03-01T12:00:00Z", True),
        (["2026-03-01T14:30:00+02:00/2026-03-01T15:00:00+02:00"], "2026-03-01T13:00:00Z", False),
        (["2026-03-01T00:00:00Z/86400s"], "2026-03-01T23:00:00Z", True),
        ([HOUR, "2026-03-02T00:00:00Z/3600s"], "2026-03-02T00:00:00Z", True),
    ],
)
def test_a_part_is_meant_when_its_window_meets_a_range(
    texts: list[str], start: str, *, taken: bool
) -> None:
    assert takes(texts, start) is taken
    assert takes(texts, start, project="shop") is taken
    assert not takes(texts, start, project="other")


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00/3600s", f"{HOUR}x",
        "2026-03-01T12:00:00Z/0s", "2026-03-01T12:00:01Z/3600s",
        "2026-03-01T12:00:00Z/2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z/2026-03-01T13:00:00",
    ],
)  # fmt: skip
def test_what_is_no_window_is_named(text: str) -> None:
    with pytest.raises(SettingError, match="--window"):
        parse_ranges([text])


@pytest.mark.parametrize("name", ["a", "longer_idle", "v2"])
def test_names_that_may_be(name: str) -> None:
    assert check_name(name) == name
    parts, refused = topics_of(name, 7)
    assert (parts.name, refused.name) == (f"trajectories.{name}", f"quarantine.{name}")
    assert (parts.partitions, parts.retention_ms) == (7, -1)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "1a",
        "a-b",
        "a.b",
        "a/b",
        "../x",
        "a" * 41,
        "pg_x",
        "public",
        "x_before",
        "ä",
        "a\n",
    ],
)
def test_names_that_may_not(name: str) -> None:
    with pytest.raises(SettingError, match="cannot name a generation"):
        check_name(name)
