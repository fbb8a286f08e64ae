"""Published rows of every shape, for Hypothesis."""

from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from tests.support.published import a_call, a_part, a_step, an_entry, raw

from ropewalk_schemas.published import MessageRow, SequenceRow, WriterSpanRow

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ONE_TEXT = TEXT.filter(bool)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
NUMBER = st.floats(allow_nan=False, allow_infinity=False, width=32)
COUNT = st.integers(0, 2**53 - 1)
POSITIONS = st.lists(st.integers(0, 2**31 - 1), max_size=4)
INSTANT = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - the zone is drawn
    datetime(2200, 1, 1),  # noqa: DTZ001 - the zone is drawn
    timezones=st.timezones(),
)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Fields that may be None, or left out."""
    return st.fixed_dictionaries({}, optional={k: st.none() | v for k, v in fields.items()})


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Fields that are never None but may be left out."""
    return st.fixed_dictionaries({}, optional=fields)


def built(builder: Any, *choices: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """Rows of a builder with drawn fields."""
    return st.tuples(*choices).map(
        lambda drawn: builder(**{k: v for d in drawn for k, v in d.items()})
    )


STEPS = built(
    a_step,
    maybe(
        state=JSON.map(raw),
        observation=JSON.map(raw),
        result=JSON.map(raw),
        reasoning=TEXT,
        error=TEXT,
        tool_call_id=TEXT,
    ),
    some(action=OBJECT.map(raw), action_type=ONE_TEXT, at=INSTANT, calls=POSITIONS),
)
CALLS = built(
    a_call,
    maybe(
        response_id=ONE_TEXT,
        parent_call=ONE_TEXT,
        purpose=ONE_TEXT,
        provider=ONE_TEXT,
        error=TEXT,
        policy_version=ONE_TEXT,
        step=st.integers(0, 9),
        latency_ms=NUMBER,
        input=POSITIONS,
        tools=st.integers(0, 9),
        input_tokens=COUNT,
        output_tokens=COUNT,
        cost_usd=NUMBER,
        sequence=st.integers(0, 9),
        span_start=st.integers(0, 9),
        span_end=st.integers(0, 9),
    ),
    some(
        params=OBJECT.map(raw),
        finish_reasons=st.lists(ONE_TEXT, max_size=2),
        output=POSITIONS,
        at=INSTANT,
    ),
)
TOOL_CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.none() | TEXT,
            "type": TEXT,
            "function": st.fixed_dictionaries({"name": TEXT, "arguments": TEXT}),
        }
    ),
    min_size=1,
    max_size=2,
)
MESSAGES = built(
    MessageRow,
    st.fixed_dictionaries({"role": ONE_TEXT}),
    maybe(
        content=TEXT,
        reasoning=TEXT,
        name=TEXT,
        tool_call_id=TEXT,
        tool_calls=TOOL_CALLS,
        parts=JSON.map(raw),
    ),
)
TOKENS = st.lists(
    st.tuples(st.integers(-(2**31), 2**31 - 1), st.booleans(), st.none() | NUMBER), max_size=4
)
SEQUENCES = st.tuples(TOKENS, st.none() | ONE_TEXT).map(
    lambda drawn: SequenceRow(
        token_ids=[token for token, _, _ in drawn[0]],
        loss_mask=[mask for _, mask, _ in drawn[0]],
        logprobs=[logprob for _, _, logprob in drawn[0]],
        policy_version=drawn[1],
    )
)
WRITERS = built(
    WriterSpanRow,
    st.fixed_dictionaries(
        {"writer": ONE_TEXT, "from_seq": COUNT, "to_seq": st.integers(-1, 2**53 - 1)}
    ),
    some(missing=st.lists(COUNT, max_size=3)),
)
PARTS_OF_LIVES = built(
    a_part,
    maybe(
        episode_id=ONE_TEXT,
        scenario=ONE_TEXT,
        policy=ONE_TEXT,
        policy_version=ONE_TEXT,
        group_key=ONE_TEXT,
        goal=TEXT,
        seed=st.integers(-(2**63), 2**63 - 1),
        status=st.sampled_from(["failed", "truncated"]),
        termination=ONE_TEXT,
        error=TEXT,
        input_tokens=COUNT,
        output_tokens=COUNT,
        cost_usd=NUMBER,
    ),
    some(
        metadata=OBJECT.map(raw),
        extra=OBJECT.map(raw),
        complete=st.booleans(),
        linear=st.booleans(),
        last=st.booleans(),
        started_at=INSTANT,
        ended_at=INSTANT,
        finalized_at=INSTANT,
        window_start=INSTANT,
        first_offset=COUNT,
        writers=st.lists(WRITERS, max_size=2),
        messages=st.lists(MESSAGES, max_size=3),
        tool_sets=st.lists(st.lists(OBJECT.map(raw), max_size=2), max_size=2),
        steps=st.lists(STEPS, max_size=3),
        llm_calls=st.lists(CALLS, max_size=2),
        sequences=st.lists(SEQUENCES, max_size=2),
        rewards=st.lists(st.builds(lambda value: an_entry(value=value), NUMBER), max_size=1),
    ),
)
ENTRIES = built(
    an_entry,
    maybe(
        target_event_id=ONE_TEXT,
        call_id=ONE_TEXT,
        response_id=ONE_TEXT,
        supersedes=ONE_TEXT,
        source_version=ONE_TEXT,
        reason=TEXT,
        outcome_key=ONE_TEXT,
        outcome_version=st.integers(0, 2**31 - 1),
    ),
    some(
        value=NUMBER,
        metadata=OBJECT.map(raw),
        occurred_at=INSTANT,
        recorded_at=INSTANT,
        source_offset=COUNT,
        source_partition=st.integers(0, 2**31 - 1),
    ),
)
SEVERAL_PARTS = st.lists(PARTS_OF_LIVES, min_size=1, max_size=3)
