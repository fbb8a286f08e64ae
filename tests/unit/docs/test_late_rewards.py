"""The queries of docs/late-rewards.md run on Parquet, and print what the page shows."""

from pathlib import Path

import pytest
from tests.support.late_example import example
from tests.support.late_rewards import store_in_parquet
from tests.unit.docs.test_readme import FENCE, blocks

PAGE = Path(__file__).parents[3] / "docs" / "late-rewards.md"


def test_the_page_runs_and_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    store_in_parquet(Path(".ropewalk", "parquet"), example())
    [spec] = [code for kind, code in FENCE.findall(text) if kind == "toml"]
    Path("spec.toml").write_text(spec, encoding="utf-8")
    found = blocks(text)
    assert len(found) >= 7
    names: dict[str, object] = {"__name__": "late_rewards"}  # one notebook, so one namespace
    for block in found:
        exec(compile(block.code, f"late-rewards.md:{block.line}", "exec"), names)
        assert (block.line, capsys.readouterr().out) == (block.line, block.prints)
