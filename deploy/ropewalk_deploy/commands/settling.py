"""`ropewalk settle`: from claims and outcomes to rewards."""

import json
from collections import Counter

import click

from ropewalk_deploy import config
from ropewalk_deploy.logs import set_up_logging
from ropewalk_sinks.config import SettlementSettings
from ropewalk_sinks.settlement.pending import WAITING, Pending, pending_claims
from ropewalk_sinks.settlement.runner import serve, settle_once

MAX_SHOWN = 50


@click.command("settle")
@click.option("--once", is_flag=True, help="Look once and end.")
@click.option("--pending", is_flag=True, help="List claims that are worth nothing yet, and why.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def settle_command(obj: dict[str, bool], *, once: bool, pending: bool, as_json: bool) -> None:
    """Turn claims into rewards as their outcomes become known; without options, for ever."""
    config.use(config.endpoints())
    settings = SettlementSettings.load()
    if pending:
        _show_pending(list(pending_claims(settings)), as_json=as_json)
    elif once:
        _show_counts(settle_once(settings), as_json=as_json)
    else:
        set_up_logging("settle", as_json=obj["log_json"])
        serve(settings)


def _show_counts(counts: Counter[str], *, as_json: bool) -> None:
    names = ("emitted", "settled", "waiting", "unsettleable")
    shown = {name: counts[name] for name in names}
    if as_json:
        click.echo(json.dumps(shown))
        return
    click.echo(
        f"{shown['emitted']:,} rewards emitted; {shown['settled']:,} claims are done, "
        f"{shown['waiting']:,} wait for their rewards to reach the ledger, "
        f"{shown['unsettleable']:,} are unsettleable (ropewalk settle --pending)"
    )


def _show_pending(found: list[Pending], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_as_data(pending) for pending in found]))
        return
    waiting = sum(pending.reason == WAITING for pending in found)
    click.echo(f"{waiting:,} claims wait for their outcome, {len(found) - waiting:,} unsettleable")
    for claim, version, reason in sorted(found, key=lambda p: p.reason == WAITING)[:MAX_SHOWN]:
        known = "" if version is None else f" version {version}"
        where = f"{claim.trajectory_id} {claim.event_id} claim {claim.idx}"
        click.echo(f"  {claim.outcome_key}{known}: {reason}  ({where})")
    if len(found) > MAX_SHOWN:
        click.echo(f"  and {len(found) - MAX_SHOWN:,} more; --json lists all")


def _as_data(pending: Pending) -> dict[str, object]:
    claim = pending.claim
    return {
        "project": claim.project,
        "trajectory_id": claim.trajectory_id,
        "event_id": claim.event_id,
        "claim": claim.idx,
        "outcome_key": claim.outcome_key,
        "terms": dict(claim.terms),
        "outcome_version": pending.outcome_version,
        "reason": pending.reason,
    }


COMMANDS = (settle_command,)
