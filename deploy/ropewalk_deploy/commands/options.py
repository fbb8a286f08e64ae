"""Options that several commands share, and their types."""

from datetime import UTC, datetime
from typing import Any

import click

as_json_option = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")


class Moment(click.ParamType):
    """An instant: ISO 8601 with its zone, so that nobody's clock is guessed."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The instant in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write it as 2026-03-01T12:00:00Z", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no zone: add Z for UTC, or +02:00", param, ctx)
        return moment.astimezone(UTC)
