"""What ends when its `with` or `async with` block does; nothing in it ever waits."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Block(ABC):
    """A context manager for both kinds of code; exceptions always go on to the agent."""

    @abstractmethod
    def _leave(self, error: BaseException | None) -> None:
        """End, given the exception that passes through; never raises."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(error)
