"""Where everything lies under the Parquet path.

    trajectories/window_date=2026-03-01/trajectories-00003-<first offset>-<last offset>.parquet
    rewards/recorded_date=.../  quarantine/recorded_date=.../  progress/recorded_date=.../
    _ropewalk/commits/<topic>/<partition>/<from offset>.json
    _ropewalk/staging/<topic>/<partition>/<owner>/
    _ropewalk/lock/  _ropewalk/rewriting/  _ropewalk/rewritten/<dataset>.json
    _ropewalk/erasures/<erasure>.json  _ropewalk/erasures/found/
    _ropewalk/generations/<name>/   the same again, of a generation beside

Readers see the datasets only; `_ropewalk` is outside every dataset root. Pure.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

from ropewalk_sinks.sink import TopicPartition

DATE_COLUMNS = {
    "trajectories": "window_date",
    "rewards": "recorded_date",
    "quarantine": "recorded_date",
    "progress": "recorded_date",
}
DATASETS = tuple(DATE_COLUMNS)
FENCED = ".fenced"
"""Ends the name of a staging folder whose owner may no longer write."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths under one root."""

    root: Path

    @property
    def all_commits(self) -> Path:
        """The folder of every partition's commits."""
        return self.root / "_ropewalk" / "commits"

    @property
    def all_staging(self) -> Path:
        """The folder of every partition's unfinished files."""
        return self.root / "_ropewalk" / "staging"

    @property
    def locks(self) -> Path:
        """The folder of what processes lock."""
        return self.root / "_ropewalk" / "lock"

    @property
    def rewriting(self) -> Path:
        """The folder of files that are to take the place of others."""
        return self.root / "_ropewalk" / "rewriting"

    def rewritten(self, dataset: str) -> Path:
        """The record of which files of a dataset are not what their commits say."""
        return self.root / "_ropewalk" / "rewritten" / f"{dataset}.json"

    @property
    def erasures(self) -> Path:
        """The folder of tombstones."""
        return self.root / "_ropewalk" / "erasures"

    def commits(self, at: TopicPartition) -> Path:
        """The folder of one partition's commits."""
        return self.all_commits / at.topic / str(at.partition)

    def staging(self, at: TopicPartition) -> Path:
        """The folder of the staging folders of one partition's owners."""
        return self.all_staging / at.topic / str(at.partition)

    def data_files(self, dataset: str) -> list[Path]:
        """Every file inside a dataset, sorted."""
        return sorted(path for path in (self.root / dataset).rglob("*") if path.is_file())


def generation_root(root: Path, name: str) -> Path:
    """The root of a generation's own datasets, below the root that readers know."""
    return root / "_ropewalk" / "generations" / name


def commit_name(from_offset: int) -> str:
    """The name of the commit file that goes on at an offset; names sort as offsets do."""
    return f"{from_offset:020d}.json"


def data_name(at: TopicPartition, first_offset: int, last_offset: int) -> str:
    """The name of a data file with rows of records in this range, both ends included."""
    return f"{at.topic}-{at.partition:05d}-{first_offset:020d}-{last_offset:020d}.parquet"


class DataPlace(NamedTuple):
    """Where a data file belongs; `name` is that of the file inside the dataset's folder."""

    dataset: str
    day: date
    name: str

    @property
    def staged(self) -> str:
        """The file's name while it is staged."""
        return f"{self.dataset}.{self.day.isoformat()}.{self.name}"

    @property
    def path(self) -> str:
        """The file's path in its dataset, relative to the root."""
        return f"{self.dataset}/{DATE_COLUMNS[self.dataset]}={self.day.isoformat()}/{self.name}"


def source_of(path: Path) -> TopicPartition | None:
    """The partition a data file's rows came from; None if the name is not one of ours.

    A promotion appends to names, after a dot, which generation a file came with.
    """
    topic, *numbers = path.stem.rsplit("-", 3)
    numbers[-1:] = [number.partition(".")[0] for number in numbers[-1:]]
    if path.suffix != ".parquet" or len(numbers) != 3 or not all(n.isdecimal() for n in numbers):  # noqa: PLR2004 - partition, first, last
        return None
    return TopicPartition(topic, int(numbers[0]))
