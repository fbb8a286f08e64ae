"""Settings of the judge: arguments first, then the environment (``ROPEWALK_JUDGE_...``)."""

from typing import Annotated

from pydantic import Field, SecretStr

from ropewalk_schemas import topics
from ropewalk_sinks.config import Dsn, Positive, Seconds, SinkSettings

Price = Annotated[float, Field(ge=0)]


class JudgeSettings(SinkSettings):
    """Whom to ask, how patiently, and how much of a trajectory is shown.

    Attributes:
        judge_base_url: Of an OpenAI-compatible endpoint, such as ``http://localhost:8000/v1``;
            ``/chat/completions`` is added.
        judge_json_mode: Ask with ``response_format = json_object``; some servers refuse that.
        judge_concurrency: Requests under way at once.
        judge_timeout_s: For one whole answer.
        judge_attempts: Requests about one group, before it is refused or left for later.
        judge_first_wait_s: Before the second request; doubled before each further one.
        judge_longest_wait_s: Also the longest ``Retry-After`` that is waited for.
        judge_interval_s: Pause between two looks at the database.
        judge_settle_s: How long nothing may have joined a group before it is judged.
        judge_max_group: Larger groups are passed over.
        judge_message_chars: Characters shown of one message.
        judge_transcript_chars: Characters shown of one trajectory.
        judge_input_usd: Price of a million input tokens.
        judge_output_usd: Price of a million output tokens.
        judge_topic: Where reward events go.
    """

    postgres_dsn: Dsn
    judge_base_url: str = ""
    judge_model: Annotated[str, Field(min_length=1, max_length=120)]
    judge_api_key: SecretStr | None = None
    judge_json_mode: bool = True
    judge_concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    judge_timeout_s: Seconds = 120.0
    judge_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    judge_first_wait_s: Seconds = 1.0
    judge_longest_wait_s: Seconds = 300.0
    judge_interval_s: Seconds = 30.0
    judge_settle_s: Annotated[float, Field(ge=0)] = 60.0
    judge_max_group: Annotated[int, Field(ge=2)] = 16
    judge_message_chars: Positive = 8_000
    judge_transcript_chars: Positive = 60_000
    judge_input_usd: Price = 0.0
    judge_output_usd: Price = 0.0
    judge_topic: str = topics.AGENT_EVENTS.name
