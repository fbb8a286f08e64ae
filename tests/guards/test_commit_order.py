"""A commit comes before the files it names: at no step does a reader see what none names."""

from pathlib import Path

from tests.support.crashing_files import SteppedFiles
from tests.support.parquet_log import go_on, settings, small_log

from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_checks import FileProblem, check_files


def test_no_file_is_in_a_dataset_before_a_commit_names_it(tmp_path: Path) -> None:
    unnamed: list[FileProblem] = []

    def look(_: int) -> None:
        unnamed.extend(p for p in check_files(tmp_path) if p.what.startswith("no commit names"))

    go_on(ParquetSink(settings(tmp_path), files=SteppedFiles(look)), small_log(), flushes=2)
    assert unnamed == []
