"""An agent with a spool; given its name, the servers, its spool and where it tells what that took.

It records until it is killed. The id of each event that its spool has taken is in the file of
acknowledgements before anything else happens.
"""

import os
import sys
import time
from pathlib import Path

from ropewalk_producers import Recorder, RecorderSettings
from ropewalk_producers.publisher import Delivery

STEPS, BETWEEN_S = 8, 0.01


def main(name: str, servers: str, spool: str, acks: str) -> None:
    """Record trajectory after trajectory."""
    taken = os.open(Path(acks) / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def hear(delivery: Delivery) -> None:
        if delivery.error is None:
            os.write(taken, delivery.event_id.encode() + b"\n")

    settings = RecorderSettings(
        project="chaos",
        service="spooling",
        instance=name,
        bootstrap_servers=servers,
        durability="spool",
        spool_path=spool,
        spool_ack="disk",
    )
    recorder = Recorder(settings, on_delivery=hear)
    number = 0
    while True:
        with recorder.trajectory(agent_id=name, trajectory_id=f"{name}-{number}") as trajectory:
            for _ in range(STEPS):
                with trajectory.step() as step:
                    step.action("wait")
                time.sleep(BETWEEN_S)
        number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
