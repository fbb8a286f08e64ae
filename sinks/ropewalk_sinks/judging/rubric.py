"""By what trajectories are judged. Pure."""

from hashlib import sha256
from typing import NamedTuple

DEFAULT_TEXT = """\
- A trajectory that reaches its goal must score clearly higher than one that does not.
- Of two that reach it, the one that gets there with less effort scores higher.
- The gap between two scores is in proportion to the gap in quality: nearly equal trajectories get \
nearly equal scores.
- One that does not reach its goal gets partial credit for real progress towards it.
"""


class Rubric(NamedTuple):
    """A named text; its version follows from the text, so that no change goes unnoticed."""

    name: str
    text: str

    @property
    def version(self) -> str:
        """Name and digest: ``default@0123456789ab``."""
        return f"{self.name}@{sha256(self.text.encode()).hexdigest()[:12]}"


DEFAULT_RUBRIC = Rubric("default", DEFAULT_TEXT)
