"""`make bench` at its smallest, on a stack of its own: it ends, and leaves what it promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
TRAJECTORIES, CONTENDERS = 60, {"worker", "stock-faust", "plain-loop"}


@pytest.mark.timeout(150)
def test_a_small_benchmark_ends_and_leaves_figures_a_table_and_a_chart(tmp_path: Path) -> None:
    options = ("--rounds", "1", "--trajectories", str(TRAJECTORIES), "--recorded", "5")
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, "--out", str(tmp_path)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "ROPEWALK_HOME"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads((tmp_path / "latest.json").read_text())
    assert {run["contender"] for run in found["runs"]} == CONTENDERS
    for run in found["runs"]:
        assert run["n_events"] == TRAJECTORIES * 32
        assert run["n_trajectories"] == TRAJECTORIES
        assert run["cpu_s"] > 0
        assert run["wall_s"] > 0
    assert {measured["publisher"] for measured in found["recorder"]} == {"memory", "kafka"}
    page = (tmp_path / "latest.md").read_text()
    assert all(name in page for name in ("ropewalk worker", "stock Faust", "hand-written loop"))
    assert page.count("MISS: ") == ran.stdout.count("MISS: ")
    assert ("MISS: " in page) == (tmp_path / "profile-worker.txt").exists()
    assert (tmp_path / "latest.png").read_bytes().startswith(b"\x89PNG")
