"""Real logs with independently counted truths; absent from a plain clone."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VARIABLE = "ROPEWALK_TEST_DATA"


def shared_data(name: str) -> Path:
    """The folder of a data set; skips the test where it is absent."""
    home = Path(os.environ.get(VARIABLE, ROOT.parent / "shared" / "data"))
    folder = home / name
    if not (folder / "truth.json").is_file():
        pytest.skip(f"{folder} is absent; set {VARIABLE} to the folder that holds {name}")
    return folder


def truth_of(folder: Path) -> dict[str, Any]:
    """What was counted in a data set, by somebody else."""
    truth: dict[str, Any] = json.loads((folder / "truth.json").read_bytes())
    return truth


def logs_of(folder: Path) -> list[Path]:
    """Its log files."""
    return sorted(folder.glob("*.json.gz"))
