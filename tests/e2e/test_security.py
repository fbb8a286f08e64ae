"""TLS and SASL to Kafka, TLS to Postgres, on servers that take nothing else; and no secret is ever
shown."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from tests.support.certificates import authority
from tests.support.pipeline import ENVIRONMENT, Pipeline, wait_for
from tests.support.secured import DSN_PASSWORD, PASSWORD, Secured, secured_servers

from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.kafka import send_again
from ropewalk_deploy.supervisor import Program
from ropewalk_producers import Recorder, RecorderSettings
from ropewalk_schemas.kafka_security import KafkaSecurity
from ropewalk_schemas.outcomes import Outcome
from ropewalk_schemas.topics import OUTCOMES
from ropewalk_sinks import kafka as sink_kafka
from ropewalk_sinks.config import SinkSettings
from ropewalk_sinks.errors import UnreachableError
from ropewalk_sinks.postgres_connection import connect, masked
from ropewalk_stream_processors import kafka as worker_kafka
from ropewalk_stream_processors.errors import WorkerError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WRONG = "wr0ng-s3cret"
MARKET = "prediction:rain"
JUDGE = {"ROPEWALK_JUDGE_BASE_URL": "http://127.0.0.1:1/v1", "ROPEWALK_JUDGE_MODEL": "nobody"}
PROGRAMS = (
    *("worker", "sink postgres", "sink parquet", "settle", "judge"),
    *("status --json", "verify", "quarantine ls"),
)
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_servers(tmp_path_factory.mktemp("secured")) as secured:
        yield secured


@pytest.fixture(scope="module")
def pipeline(secured: Secured) -> Pipeline:
    """Programs that know how to get in, with topics and tables."""
    places = Endpoints(secured.servers, secured.dsn, secured.home / "parquet")
    often = {"ROPEWALK_SETTLEMENT_INTERVAL_S": "0.5"}
    environment = ENVIRONMENT | JUDGE | often | secured.environment()
    pipeline = Pipeline(secured.home, places, secured.home / "programs.log", environment)
    for command in ("topics apply", "migrate"):
        done = pipeline.ropewalk(*command.split())
        assert done.returncode == 0, done.stderr
    return pipeline


@contextmanager
def inside(pipeline: Pipeline) -> Iterator[None]:
    """This very process talks to Kafka as the programs do."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in pipeline.environment.items():
            patched.setenv(name, value)
        yield


def record(pipeline: Pipeline, run: str, market: str = MARKET) -> None:
    """Three trajectories, each with a claim on one market."""
    named = {"ROPEWALK_PROJECT": "weather", "ROPEWALK_SERVICE": "forecaster"}
    recorder = Recorder(RecorderSettings.from_environment(pipeline.environ(named)))
    for number in range(3):
        with recorder.trajectory(agent_id="a", trajectory_id=f"{run}-{number}") as trajectory:
            for _ in range(2):
                with trajectory.step(observation="clouds") as step:
                    step.action("forecast", {"rain": True}, result="told")
                    step.reward_component("worked", 0.5)
                    step.claim(market, {"side": "yes"})
    report = recorder.close(30)
    assert report.complete, recorder.last_error
    assert PASSWORD not in repr(recorder.settings)


def tell_outcome(pipeline: Pipeline, market: str = MARKET) -> None:
    known = Outcome(
        outcome_key=market, version=1, occurred_at=datetime.now(UTC), values={"resolved": "yes"}
    )
    send_again(
        pipeline.places.bootstrap_servers,
        OUTCOMES.name,
        [(market.encode(), known.model_dump_json().encode())],
    )


def settled_rewards(pipeline: Pipeline) -> int:
    with psycopg.connect(pipeline.places.postgres_dsn) as connection:
        (row,) = connection.execute("SELECT count(*) FROM rewards WHERE source = 'outcome'")
    return int(row[0])


def test_everything_runs_over_tls_with_passwords_and_shows_none(pipeline: Pipeline) -> None:
    commands = ("verify --json", "status --json", "status", "judge --once")
    with inside(pipeline), pipeline.running():
        pipeline.wait_until_owned()
        record(pipeline, "scram")
        tell_outcome(pipeline)
        wait_for(lambda: settled_rewards(pipeline) == 6, told=pipeline.log_tail())
        pipeline.wait_until_settled()
        asked = at_once(pipeline, [(command, {}) for command in commands])
    for done in asked:
        assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(asked[0].stdout)["ok"]
    status = json.loads(asked[1].stdout)
    assert [(sink["lag"], sink["problem"]) for sink in status["sinks"]] == [(0, None)] * 2
    assert status["postgres_dsn"] == pipeline.places.postgres_dsn.replace(DSN_PASSWORD, "***")
    told = [text for done in asked for text in (done.stdout, done.stderr)]
    nothing_secret(pipeline.log.read_text(), *told)


def test_a_certificate_serves_as_well_as_a_password(pipeline: Pipeline, secured: Secured) -> None:
    ours = secured.authority.signed("worker", password="key-s3cret")
    tls = {
        "ROPEWALK_KAFKA_SECURITY_PROTOCOL": "SSL",
        "ROPEWALK_KAFKA_CA_FILE": str(secured.authority.file),
        "ROPEWALK_KAFKA_CERTIFICATE_FILE": str(ours.certificate),
        "ROPEWALK_KAFKA_KEY_FILE": str(ours.key),
        "ROPEWALK_KAFKA_KEY_PASSWORD": "key-s3cret",
    }
    places = replace(pipeline.places, bootstrap_servers=secured.certified)
    certified = replace(pipeline, places=places, environment=ENVIRONMENT | tls)
    programs = [Program("worker-1", ("worker",)), Program("parquet", ("sink", "parquet"))]
    with inside(certified), certified.running(programs):
        record(certified, "certified")
        certified.wait_until_settled()
    nothing_secret(certified.log.read_text())


# -- what is wrong is one line


@dataclass(frozen=True)
class Case:
    """A command that cannot work, its exit status, and what its line must name."""

    command: str
    changes: Mapping[str, str]
    status: int
    words: Sequence[str]


def cases(pipeline: Pipeline, secured: Secured) -> Iterator[Case]:
    wrong = {"ROPEWALK_KAFKA_PASSWORD": WRONG}
    for command in PROGRAMS:
        yield Case(command, wrong, 2, ("refuses us", "ROPEWALK_KAFKA_PASSWORD"))
    for changes, words in (strange(secured), open_client(pipeline)):
        yield Case("status", changes, 1, words)
    dsn = {"ROPEWALK_POSTGRES_DSN": pipeline.places.postgres_dsn.replace(DSN_PASSWORD, WRONG)}
    words = ("password authentication failed", "ROPEWALK_POSTGRES_DSN")
    yield Case("sink postgres", dsn, 1, words)


Change = tuple[dict[str, str], tuple[str, ...]]
"""Settings, and what must be said of them."""


def strange(secured: Secured) -> Change:
    """Trust in an authority that signed nothing here."""
    stranger = authority(secured.home / "certificates", "stranger")
    words = ("certificate verify failed", "ROPEWALK_KAFKA_CA_FILE")
    return {"ROPEWALK_KAFKA_CA_FILE": str(stranger.file)}, words


def open_client(pipeline: Pipeline) -> Change:
    """No TLS and no SASL."""
    names = [name for name in pipeline.environment if name.startswith("ROPEWALK_KAFKA_")]
    return dict.fromkeys(names, ""), ("ROPEWALK_KAFKA_SECURITY_PROTOCOL",)


def test_what_is_wrong_is_one_line_that_names_the_setting_and_no_secret(
    pipeline: Pipeline, secured: Secured
) -> None:
    given = list(cases(pipeline, secured))
    ended = at_once(pipeline, [(case.command, case.changes) for case in given])
    for case, done in zip(given, ended, strict=True):
        said = done.stderr.splitlines()
        assert done.returncode == case.status, (case, done.stdout, done.stderr)
        assert said[-1].startswith("ropewalk: "), (case, said)
        assert [line for line in said[:-1] if " info " not in line] == [], case
        assert [word for word in case.words if word not in said[-1]] == [], (case, said[-1])
        nothing_secret(done.stdout, done.stderr)


@pytest.mark.parametrize("change", ["strange", "open_client"])
def test_worker_and_sinks_say_what_to_set(
    pipeline: Pipeline, secured: Secured, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, words = strange(secured) if change == "strange" else open_client(pipeline)
    security = KafkaSecurity.from_environment(pipeline.environ(changes))
    for module in (sink_kafka, worker_kafka):
        monkeypatch.setattr(module, "ANSWER_WITHIN_S", 1.0)
    settings = SinkSettings.load(bootstrap_servers=secured.servers, kafka_security=security)
    with pytest.raises(UnreachableError) as of_sink:
        sink_kafka.require_topics(settings, [OUTCOMES.name])
    with pytest.raises(WorkerError) as of_worker:
        worker_kafka.describe_topics(secured.servers, [OUTCOMES.name], security)
    for told in (str(of_sink.value), str(of_worker.value)):
        assert [word for word in words if word not in told] == [], told
        nothing_secret(told)


@pytest.mark.parametrize(
    ("part", "instead", "word"),
    [
        (DSN_PASSWORD, WRONG, "password authentication failed"),
        ("sslmode=verify-full", "sslmode=disable", "no encryption"),
        ("authority.pem", "kafka.pem", "certificate verify failed"),
        ("authority.pem", "nothing.pem", "does not exist"),
    ],
)
def test_what_postgres_refuses_names_the_dsn_without_its_password(
    secured: Secured, part: str, instead: str, word: str
) -> None:
    assert part in secured.dsn
    dsn = secured.dsn.replace(part, instead)
    with pytest.raises(UnreachableError, match=f"ROPEWALK_POSTGRES_DSN.*{word}") as raised:
        connect(dsn)
    nothing_secret(str(raised.value), masked(dsn))


# -- what Kafka allows each program

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
ACL = re.compile(r"^kafka-acls\.sh --add --allow-principal User:(\S+) (.*)$", re.MULTILINE)


def documented() -> list[AclBinding]:
    """The lines of the page, as they stand there."""
    found: list[AclBinding] = []
    for user, rest in ACL.findall(PAGE.read_text(encoding="utf-8")):
        given = re.findall(r"--(operation|topic|group) (\S+)", rest)
        operations = [name for option, name in given if option == "operation"]
        for kind, name in given:
            if kind != "operation":
                found += [binding(user, kind, name, operation) for operation in operations]
    return found


def binding(user: str, kind: str, name: str, operation: str) -> AclBinding:
    named = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()
    return AclBinding(
        ResourceType[kind.upper()], name, ResourcePatternType.LITERAL, f"User:{user}", "*",
        AclOperation[named], AclPermissionType.ALLOW,
    )  # fmt: skip


def without(acl: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        acl.restype, acl.name, acl.resource_pattern_type, acl.principal, acl.host,
        acl.operation, acl.permission_type,
    )  # fmt: skip


@pytest.fixture(scope="module")
def admin(secured: Secured, pipeline: Pipeline) -> AdminClient:
    """The cluster's own, with the page's ACLs in force."""
    security = KafkaSecurity.from_environment(secured.environment())
    admin = AdminClient(
        {"bootstrap.servers": secured.servers, **security.librdkafka(), "log_level": 0}
    )
    for made in admin.create_acls(documented()).values():
        made.result(30)
    return admin


def test_each_program_works_with_the_pages_acls(
    pipeline: Pipeline, secured: Secured, admin: AdminClient
) -> None:
    """Each under its own user, who may do what the page says and nothing else."""
    programs = {
        "worker": "worker --name acls", "sink-postgres": "sink postgres",
        "sink-parquet": "sink parquet", "settle": "settle",
    }  # fmt: skip
    before = settled_rewards(pipeline)
    with ExitStack() as stack:
        for user, command in programs.items():
            own = replace(pipeline, environment=pipeline.environment | secured.environment(user))
            process = own.start(*command.split())
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        own = replace(pipeline, environment=pipeline.environment | secured.environment("recorder"))
        record(own, "acls", "prediction:snow")
        with inside(pipeline):
            tell_outcome(pipeline, "prediction:snow")
        wait_for(lambda: settled_rewards(pipeline) == before + 6, told=pipeline.log_tail())
        commands = [
            *(("operator", command) for command in ("status", "verify", "quarantine ls")),
            *(("operator", "topics apply"), ("judge", "judge --once")),
        ]
        done = at_once(pipeline, [(command, secured.environment(u)) for u, command in commands])
    for (user, command), ended in zip(commands, done, strict=True):
        assert ended.returncode == 0, (user, command, ended.stdout, ended.stderr)


TAKEN = [
    ("worker", "worker", "topic", "progress", "Read"),
    ("worker", "worker", "topic", "trajectories", "DescribeConfigs"),
    ("worker", "worker", "group", "ropewalk-worker", "Read"),
    ("sink-postgres", "sink postgres", "topic", "outcomes", "Read"),
    ("sink-parquet", "sink parquet", "topic", "quarantine", "Write"),
    ("sink-parquet", "sink parquet", "group", "ropewalk-sink-parquet", "Read"),
    ("settle", "settle", "topic", "agent-events", "Write"),
    ("judge", "judge --once", "topic", "quarantine", "Write"),
    ("operator", "status", "topic", "progress", "Read"),
    ("operator", "quarantine ls", "topic", "quarantine", "Read"),
]


def test_what_kafka_does_not_allow_is_one_line_that_names_it(
    pipeline: Pipeline, secured: Secured, admin: AdminClient
) -> None:
    taken = [binding(user, *what) for user, _, *what in TAKEN]
    for gone in admin.delete_acls([without(acl) for acl in taken]).values():
        assert gone.result(30)
    try:
        done = at_once(pipeline, [(c, secured.environment(user)) for user, c, *_ in TAKEN])
    finally:
        for made in admin.create_acls(taken).values():
            made.result(30)
    for (_, command, kind, name, operation), ended in zip(TAKEN, done, strict=True):
        said = ended.stderr.splitlines()
        assert ended.returncode == 2, (command, ended.stdout, ended.stderr)
        assert said[-1].startswith("ropewalk: Kafka does not allow us "), (command, said)
        told = (f"{operation} on {kind} {name}", f"Describe on {kind} {name}")
        assert any(text in said[-1] for text in told), (command, said[-1])
        assert [line for line in said[:-1] if " info " not in line] == [], command


def test_a_recorder_that_may_not_write_says_so_and_goes_on(
    pipeline: Pipeline, secured: Secured, admin: AdminClient
) -> None:
    named = {"ROPEWALK_PROJECT": "weather", "ROPEWALK_SERVICE": "forecaster"}
    stranger = pipeline.environ(named | secured.environment("sink-parquet"))
    recorder = Recorder(RecorderSettings.from_environment(stranger))
    with recorder.trajectory(agent_id="a"):
        pass
    report = recorder.close(30)
    assert report.failed == 2
    assert "does not allow us Write on topic agent-events" in str(recorder.last_error)


def at_once(pipeline: Pipeline, commands: Sequence[tuple[str, Mapping[str, str]]]) -> list[Done]:
    """Run commands side by side, each with its changes of the environment."""
    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(lambda c: pipeline.ropewalk(*c[0].split(), changes=c[1]), commands))


def nothing_secret(*told: str) -> None:
    for text in told:
        for secret in (PASSWORD, DSN_PASSWORD, WRONG, "key-s3cret"):
            assert secret not in text
