"""Free ports on the loopback interface."""

import errno
import secrets
import socket
from collections.abc import Collection

from ropewalk_deploy.stack.errors import ServerError

HOST = "127.0.0.1"

# Below the range from which systems take ports for outgoing connections: a remembered
# port from that range would now and then be in use by a passing client at the next start.
CANDIDATES = range(20_000, 30_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set it too: connections of a server just killed do not keep its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
        return True


def accepts(port: int) -> bool:
    """Whether something listens on `port`."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def choose(*, avoid: Collection[int] = ()) -> int:
    """A free port that is none of `avoid`.

    Raises:
        ServerError: If there is none.
    """
    for port in secrets.SystemRandom().sample(CANDIDATES, k=len(CANDIDATES)):
        if port not in avoid and is_free(port):
            return port
    msg = (
        f"No port between {CANDIDATES.start} and {CANDIDATES.stop - 1} on {HOST} is free. "
        "Stop programs that listen there and try again."
    )
    raise ServerError(msg)
