"""`ropewalk diff`: what a generation has otherwise than what readers see."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from ropewalk_deploy import config
from ropewalk_deploy.commands.options import as_json_option
from ropewalk_deploy.generations.comparing import Comparison, comparable
from ropewalk_deploy.generations.differences import Difference
from ropewalk_deploy.generations.reward_differences import RewardDifference

NOT_REFUSED = "not refused"
WHY = {
    "component": "its step earns otherwise",
    "step": "its step is only in one",
    "placed": "placed elsewhere",
    "target": "what it is for is stored now",
    "no_target": "what it is for is stored no longer",
    "entry": "refused before; `ropewalk quarantine replay` brings it into the ledger",
}


@dataclass
class Summary:
    """Differences, counted."""

    compared: int
    kinds: Counter[str] = field(default_factory=Counter)
    gained: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    rewards: Counter[str] = field(default_factory=Counter)

    def take(self, found: Difference) -> None:
        """Count one trajectory."""
        self.kinds[found.kind] += 1
        self.gained.update(event.refused or NOT_REFUSED for event in found.gained)
        self.lost.update(event.refused or NOT_REFUSED for event in found.lost)
        self.fields.update({_column(each.field) for each in found.fields})
        self.rewards.update(each.why for each in found.rewards)

    def as_data(self) -> dict[str, Any]:
        """As JSON has it."""
        equal = self.compared - self.kinds.total()
        kinds = {kind: self.kinds[kind] for kind in ("changed", "only_now", "only_rebuilt")}
        counted = ("gained", "lost", "fields", "rewards")
        return {
            "compared": self.compared,
            "equal": equal,
            **kinds,
            **{name: dict(getattr(self, name).most_common()) for name in counted},
        }


def _column(name: str) -> str:
    return name.partition("[")[0].partition(" ")[0]


@click.command("diff")
@click.argument("name")
@click.option("--limit", default=20, show_default=True, help="How many to show; 0: all.")
@as_json_option
def diff_command(*, name: str, limit: int, as_json: bool) -> None:
    """Say what generation NAME has otherwise than what readers see, and why."""
    places = config.endpoints()
    comparison = Comparison(places, comparable(places, name))
    summary = Summary(len(comparison.members))
    shown: list[Difference] = []
    for found in comparison.differences():
        summary.take(found)
        if not limit or len(shown) < limit:
            shown.append(found)
    if as_json:
        answer = {"generation": name, **summary.as_data()}
        click.echo(json.dumps(answer | {"trajectories": [*map(_as_data, shown)]}))
        return
    for line in _text(name, summary, shown):
        click.echo(line)


def _as_data(found: Difference) -> dict[str, Any]:
    data = asdict(found)
    lists = ("gained", "lost", "fields", "rewards")
    return data | {name: [each._asdict() for each in getattr(found, name)] for name in lists}


def _text(name: str, summary: Summary, shown: list[Difference]) -> Iterator[str]:
    data = summary.as_data()
    yield (
        f"generation {name} beside what readers see: {data['compared']:,} trajectories, "
        f"{data['equal']:,} equal, {data['changed']:,} changed, {data['only_rebuilt']:,} only "
        f"rebuilt, {data['only_now']:,} only now"
    )
    for title, when in (("gained", "before"), ("lost", "now")):
        if data[title]:
            told = ", ".join(f"{n:,} {_refused(why, when)}" for why, n in data[title].items())
            yield f"{title:<9} {sum(data[title].values()):,} events: {told}"
    if data["fields"]:
        yield "fields    " + ", ".join(f"{name} {n:,}" for name, n in data["fields"].items())
    if data["rewards"]:
        yield "rewards   " + ", ".join(f"{n:,}: {WHY[why]}" for why, n in data["rewards"].items())
    for found in shown:
        yield f"{found.trajectory_id}: {'; '.join(found.why) or 'the same events'}"
        yield from (f"    {line}" for line in _details(found))
    left = summary.kinds.total() - len(shown)
    if left:
        yield f"and {left:,} more; --limit 0 shows all"


def _refused(why: str, when: str) -> str:
    return why if why == NOT_REFUSED else f"refused {when} as {why}"


def _details(found: Difference) -> Iterator[str]:
    if found.total_now != found.total_rebuilt:
        yield f"reward in all: {_number(found.total_now)} -> {_number(found.total_rebuilt)}"
    yield from map(_reward, found.rewards)
    for part, name, now, rebuilt in found.fields:
        yield f"part {part} {name}: {now} -> {rebuilt}"
    if found.n_fields > len(found.fields):
        yield f"and {found.n_fields - len(found.fields):,} more fields"


def _reward(each: RewardDifference) -> str:
    value = "" if each.value is None else f" ({each.value:g})"
    return f"reward {each.what}{value}: {each.now} -> {each.rebuilt}, {WHY[each.why]}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


COMMANDS = (diff_command,)
