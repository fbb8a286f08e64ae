"""What Postgres did to answer a query, counted by its own plan."""

from typing import Any

from tests.support.sink_lab import rows


def plan_nodes(dsn: str, query: str) -> list[dict[str, Any]]:
    """Every node of the plan by which a query was answered just now."""
    ((plans,),) = rows(dsn, f"EXPLAIN (ANALYZE, FORMAT JSON) {query}")
    return _below(plans[0]["Plan"])


def _below(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _below(child))]
