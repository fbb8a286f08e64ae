"""A TCP proxy on loopback that is slow, or cuts connections anywhere, when it is told to."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from ropewalk_deploy.stack.ports import HOST

CHUNK_BYTES = 64 * 1024
START_WITHIN_S = 10.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close() resets the connection

Way = Literal["up", "down"]
"""From a program to a server, or back."""

CutAt = Callable[[Way, bytes], int | None]
"""How many bytes of a chunk still pass before the connection is cut; None to let it live."""


@dataclass(slots=True)
class Weather:
    """What a proxy does to what passes.

    Args:
        delay_s: Before each chunk.
        bytes_per_s: Of each direction of each connection; 0 for any.
        cut_at: Asked of each chunk.
    """

    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    cut_at: CutAt | None = None


@dataclass
class Proxy:
    """Leads from one port to another; `weather` may be changed at any time.

    Attributes:
        cuts: How many connections were cut.
        passed: Bytes in both directions.
    """

    port: int
    target: int
    rng: Random
    weather: Weather = field(default_factory=Weather)
    cuts: int = 0
    passed: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:  # the server is away: so is the proxy
            writer.close()
            return
        pumps = [
            asyncio.create_task(self._pump("up", reader, inner_writer)),
            asyncio.create_task(self._pump("down", inner_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, inner_writer):
                end.close()

    async def _pump(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                weather = self.weather
                if weather.delay_s or weather.bytes_per_s:
                    throttled = len(chunk) / weather.bytes_per_s if weather.bytes_per_s else 0.0
                    await asyncio.sleep(self.rng.uniform(0.0, 2 * weather.delay_s) + throttled)
                left = weather.cut_at(way, chunk) if weather.cut_at else None
                passing = chunk if left is None else chunk[:left]
                writer.write(passing)
                await writer.drain()
                self.passed += len(passing)
                if left is not None:
                    self.cuts += 1
                    self._cut(writer)
                    return

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        """In order, as by a process that ends, or by a reset, as by a firewall."""
        if self.rng.random() < 0.5:  # noqa: PLR2004 - a coin
            own: socket.socket = writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Serve, in a thread, until the end of the block."""
        loop, ready = asyncio.new_event_loop(), threading.Event()
        stop = asyncio.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._serve, HOST, self.port)
            ready.set()
            await stop.wait()
            server.close()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        thread = threading.Thread(
            target=lambda: loop.run_until_complete(serve()), name=f"proxy-{self.port}"
        )
        thread.start()
        try:
            if not ready.wait(START_WITHIN_S):
                msg = f"the proxy does not listen on port {self.port}"
                raise OSError(msg)
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


def anywhere(rng: Random) -> CutAt:
    """Cuts chunks at random bytes: now and then, in any request and any answer."""

    def cut_at(_: Way, chunk: bytes) -> int | None:
        return rng.randrange(len(chunk)) if rng.random() < 0.1 else None  # noqa: PLR2004

    return cut_at


def amid_copy(rng: Random) -> CutAt:
    """Cuts what a program sends to Postgres amid the data of a COPY."""

    def cut_at(way: Way, chunk: bytes) -> int | None:
        return rng.randrange(len(chunk)) if way == "up" and chunk.startswith(b"d") else None

    return cut_at


def amid_commit_answer(rng: Random) -> CutAt:
    """Cuts the answer to a COMMIT: whether it was done, the program is not told."""

    def cut_at(way: Way, chunk: bytes) -> int | None:
        at = chunk.find(b"COMMIT\0") if way == "down" else -1
        return None if at < 0 else max(0, at - rng.randrange(6))

    return cut_at
