"""The tables the sink writes, and the columns of each in the order rows give them. Pure.

A `..._PLAIN` tuple names columns that are attributes of what is stored, under the same name.
"""

from typing import NamedTuple


class Table(NamedTuple):
    """A table and the columns its rows are given in."""

    name: str
    columns: tuple[str, ...]


KEY = ("window_start", "trajectory_id", "part")
PART_PLAIN = (
    *KEY, "last", "engine_version", "episode_id", "project", "agent_id", "window_id", "window_s",
    "started_at", "ended_at", "finalized_at", "scenario", "policy", "policy_version", "group_key",
    "goal", "mode", "seed", "status", "termination", "error", "close_reason", "complete", "linear",
    "content_hash", "previous_hash", "source_partition", "first_offset", "last_offset", "n_events",
    "n_steps", "n_llm_calls", "n_missing", "input_tokens", "output_tokens", "cost_usd",
)  # fmt: skip
MESSAGE_PLAIN = ("role", "content", "reasoning", "name", "tool_call_id")
STEP_PLAIN = (
    "event_id", "at", "reasoning", "action_type", "action_status", "tool_call_id", "error",
)  # fmt: skip
CALL_PLAIN = (
    "call_id", "event_id", "response_id", "thread", "parent_call", "purpose", "provider", "model",
    "policy_version", "error", "step", "at", "latency_ms", "tools", "finish_reasons",
    "input_tokens", "output_tokens", "cost_usd", "sequence", "span_start", "span_end",
)  # fmt: skip
ENTRY_PLAIN = (
    "reward_id", "trajectory_id", "project", "target_event_id", "call_id", "response_id", "name",
    "source", "source_version", "supersedes", "reason", "outcome_key", "outcome_version", "value",
    "occurred_at", "recorded_at", "source_partition", "source_offset",
)  # fmt: skip

PARTS = Table("parts", ("trajectory_id", "part", "content_hash", "window_start", "last"))
TRAJECTORIES = Table(
    "trajectories",
    (*PART_PLAIN, "schema_version", "reward_spec", "reward", "metadata", "extra", "writers",
     "tool_sets"),
)  # fmt: skip
MESSAGES = Table("messages", (*KEY, "idx", *MESSAGE_PLAIN, "tool_calls", "parts"))
STEPS = Table(
    "steps",
    (*KEY, "idx", *STEP_PLAIN, "state", "observation", "reads", "action", "result", "reward",
     "components", "return_to_go", "calls"),
)  # fmt: skip
LLM_CALLS = Table("llm_calls", (*KEY, "idx", *CALL_PLAIN, "input", "output", "params"))
SCORES = Table(
    "scores",
    ("trajectory_id", "part", "spec", "total", "immediate", "n_entries", "steps", "returns"),
)
CLAIMS = Table(
    "claims", ("trajectory_id", "part", "step", "outcome_key", "idx", "event_id", "terms")
)
REWARDS = Table("rewards", (*ENTRY_PLAIN, "metadata", "content_hash"))
OUTCOMES = Table("outcomes", ("outcome_key", "version", "values", "occurred_at", "recorded_at"))
QUARANTINE = Table(
    "quarantine",
    ("topic", "partition", "offset", "reason", "detail", "stage", "quarantined_by",
     "trajectory_id", "key", "value", "headers", "broker_at", "quarantined_at", "recorded_at"),
)  # fmt: skip
PROGRESS = Table(
    "progress",
    ("partition", "next_offset", "received", "assembled", "open", "ledger", "duplicate",
     "quarantined", "by_reason", "clock", "watermark", "open_trajectories", "worker",
     "engine_version", "recorded_at"),
)  # fmt: skip

# Rows whose identity a table guards, and rows that stand or fall with an admitted part.
GUARDED = (PARTS, REWARDS, OUTCOMES, QUARANTINE, PROGRESS)
DEPENDENT = (TRAJECTORIES, MESSAGES, STEPS, LLM_CALLS, SCORES, CLAIMS)
