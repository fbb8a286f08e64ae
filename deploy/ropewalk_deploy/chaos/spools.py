"""Agents with spools are killed while there is no broker; what spools took is drained later."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import recovery
from ropewalk_deploy.chaos.fought import Fought
from ropewalk_deploy.chaos.staging import Stage, at_work, told_of
from ropewalk_deploy.config import child_environment
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.topics import AGENT_EVENTS

NAME = "kill-agents-with-a-spool"
AGENTS = 3
DRAIN_WITHIN_S, BEGIN_WITHIN_S = 60.0, 30.0


def fight_with_spools(arena: Arena, seed: int, _: float) -> Fought:
    """One run."""
    spool, acks = arena.home / f"spool-{seed}", arena.home / f"acks-{seed}"
    acks.mkdir()
    with at_work(arena, seed) as stage:
        battle = stage.battle
        with ExitStack() as agents:
            living = [
                agents.enter_context(_an_agent(arena, f"a{seed}-{n}", spool, acks))
                for n in range(AGENTS)
            ]
            battle.until(lambda: len(_taken(acks)) > AGENTS, BEGIN_WITHIN_S)
            battle.pause(1.0, 3.0)
            arena.signal_server("kafka", signal.SIGKILL)
            before = len(_taken(acks))
            for agent in living:
                battle.pause(0.5, 2.0)
                os.kill(agent.pid, signal.SIGKILL)
                agent.wait()
        taken = _taken(acks)
        if len(taken) == before:
            battle.notes.append("no event was taken while the broker was away")
        arena.start_servers()
        began = time.monotonic()
        told = {"taken by spools": len(taken), "drained": _drain(stage, arena, spool)}
        recover_s = time.monotonic() - began + recovery(battle)
        lost = taken - _in_log(arena)
        stage.count("spool: every event that it took is in the log", len(taken),
                    len(taken) - len(lost))  # fmt: skip
        stage.prove()
    return told_of(
        NAME, seed, stage, events=len(taken), lost=len(lost), recover_s=recover_s, told=told
    )


def _an_agent(arena: Arena, name: str, spool: Path, acks: Path) -> subprocess.Popen[bytes]:
    module = "ropewalk_deploy.chaos.spooling_agent"
    servers = arena.places.bootstrap_servers
    with arena.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", module, name, servers, str(spool), str(acks)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _taken(acks: Path) -> set[str]:
    """The ids that agents were told to be on disk; a line that was torn was never told."""
    return {line for file in acks.iterdir() for line in file.read_text().split("\n")[:-1]}


def _drain(stage: Stage, arena: Arena, spool: Path) -> int:
    """What `ropewalk spool drain` sends."""
    command = [sys.executable, "-m", "ropewalk_deploy", "spool", "drain"]
    drained = subprocess.run(  # noqa: S603 - our own command
        [*command, "--path", str(spool), "--json"],
        check=False,
        capture_output=True,
        env=child_environment(arena.environment),
        timeout=DRAIN_WITHIN_S,
    )
    if drained.returncode != 0:
        stage.battle.notes.append(f"ropewalk spool drain failed: {drained.stderr.decode()[-300:]}")
        return 0
    return int(json.loads(drained.stdout)["sent"])


def _in_log(arena: Arena) -> set[str]:
    with LogScanner(arena.places.bootstrap_servers) as scanner:
        return {
            str(json.loads(record.value)["event_id"])
            for partition in scanner.partitions(AGENT_EVENTS.name)
            for record in scanner.records(AGENT_EVENTS.name, partition)
            if record.key is not None and record.value
        }
