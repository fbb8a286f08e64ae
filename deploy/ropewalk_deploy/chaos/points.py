"""What can be done to programs at a named point of their work: between two steps of one write."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress

import psutil

from ropewalk_deploy.audit.readers import wait_until
from ropewalk_deploy.chaos.arena import SESSION_TIMEOUT_S
from ropewalk_deploy.chaos.battle import Battle
from ropewalk_deploy.chaos.strikes import Strike, ends
from ropewalk_schemas import failpoints

POINTS_PER_RUN = 2
REACHED_WITHIN_S = 12.0


def die(program: str) -> Strike:
    """Kill -9 exactly before or after a flush, commit, COPY or rename."""

    def strike(battle: Battle) -> None:
        points = battle.rng.sample(failpoints.POINTS[program], POINTS_PER_RUN)
        # The work may be over before the program is back at the second one.
        _note_unless_passed(battle, points, reach_each(battle, points, "kill"))

    return strike


def end(program: str, name: str) -> Strike:
    """SIGTERM at such points: it ends by itself, with what it has in hand done or left over."""

    def strike(battle: Battle) -> None:
        points = battle.rng.sample(failpoints.POINTS[program], POINTS_PER_RUN)
        _note_unless_passed(battle, points, sum(_ends_at(battle, name, each) for each in points))

    return strike


def fail(points: tuple[str, ...], error: str) -> Strike:
    """An error of the system at each of some points, as from a full or a broken disk."""

    def strike(battle: Battle) -> None:
        _note_unless_passed(battle, points, sum(reach(battle, each, error) for each in points))

    return strike


def freeze(point: str) -> Strike:
    """SIGSTOP there until others have its partitions; then it wakes up as if it owned them."""

    def strike(battle: Battle) -> None:
        before = set(battle.supervisor.pids().values())
        if not reach(battle, point, "stop"):
            battle.notes.append(f"{point} was not passed")
        battle.pause(SESSION_TIMEOUT_S + 3.0, SESSION_TIMEOUT_S + 5.0)
        for pid in before:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return strike


def reach(battle: Battle, point: str, action: str) -> bool:
    """Arm a point and wait until it acted; what is not passed in time is disarmed."""
    return reach_each(battle, [point], action) == 1


def reach_each(battle: Battle, points: Sequence[str], action: str) -> int:
    """Arm points, in whatever order they are passed; gives how many acted."""
    files = [battle.arena.failpoints / point for point in points]
    for point in points:
        failpoints.arm(battle.arena.failpoints, point, action)
    within_s = REACHED_WITHIN_S * len(points)
    wait_until(lambda: not any(file.exists() for file in files), timeout_s=within_s, every_s=0.02)
    left = [file for file in files if file.exists()]
    for file in left:
        file.unlink(missing_ok=True)
    return len(files) - len(left)


def _note_unless_passed(battle: Battle, points: Sequence[str], n_passed: int) -> None:
    if not n_passed:
        battle.notes.append(f"none of {', '.join(points)} was passed")


def _ends_at(battle: Battle, name: str, point: str) -> bool:
    process = psutil.Process(battle.pid(name))
    if not reach(battle, point, "term"):
        return False
    ends(battle, process, name)
    return True
