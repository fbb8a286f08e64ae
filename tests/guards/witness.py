"""A pytest plugin: writes down how each test ended, and from where our packages were imported."""

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--witness", type=Path, help="where to write what was seen, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--witness"):
        config.pluginmanager.register(Witness(config.getoption("--witness")))


class Witness:
    """What happened: of each phase that did not pass, and of each call, one entry."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended: list[dict[str, str]] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call" or report.outcome != "passed":
            error = call.excinfo
            self._note(
                item.nodeid,
                phase=report.when,
                outcome=report.outcome,
                error=type(error.value).__name__ if error else "",
                says=str(error.value) if error else "",
            )
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._note(
                report.nodeid, phase="collection", outcome="failed", says=str(report.longrepr)
            )

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps({"ended": self._ended, "imported": _imported()}))

    def _note(self, test: str, **said: Any) -> None:
        self._ended.append({"test": test, "error": "", **said})


def _imported() -> dict[str, str]:
    """Our packages' modules as they were really imported: name and file."""
    ours = {name: m for name, m in sys.modules.items() if name.startswith(("ropewalk_", "tests."))}
    return {name: str(file) for name, m in ours.items() if (file := getattr(m, "__file__", None))}
