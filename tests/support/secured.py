"""A Kafka and a Postgres that nobody uses without TLS and a password."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Authority, authority

from ropewalk_deploy.stack import jars, kafka, postgres
from ropewalk_deploy.stack.java import find_java
from ropewalk_deploy.stack.kafka_config import JVM_FLAGS, LOG4J2, server_properties, to_properties
from ropewalk_deploy.stack.paths import Layout, create_home, layout_of
from ropewalk_deploy.stack.ports import HOST, accepts, choose
from ropewalk_deploy.stack.postgres_data import ROLE, Site, find_site, initialise
from ropewalk_deploy.stack.processes import Daemon, await_ready, launch, stop

USERNAME, PASSWORD = "ropewalk-user", "kafka-s3cret-of-the-test"
USERS = ("recorder", "worker", "sink-postgres", "sink-parquet", "settle", "judge", "operator")
"""May do nothing but what ACLs say; their password is the same."""
DSN_PASSWORD = "postgres-s3cret-of-the-test"
CLUSTER = "ropewalk-secured-test-1"


@dataclass(frozen=True)
class Secured:
    """Where the servers are, and how to get in.

    Args:
        servers: The SASL_SSL listener.
        certified: The SSL listener, which asks clients for a certificate.
        dsn: With sslmode=verify-full and the authority's file.
    """

    home: Path
    servers: str
    certified: str
    dsn: str
    authority: Authority

    def environment(self, username: str = USERNAME) -> dict[str, str]:
        """Settings of our programs for the SASL_SSL listener."""
        return {
            "ROPEWALK_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "ROPEWALK_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "ROPEWALK_KAFKA_USERNAME": username,
            "ROPEWALK_KAFKA_PASSWORD": PASSWORD,
            "ROPEWALK_KAFKA_CA_FILE": str(self.authority.file),
        }


@contextmanager
def secured_servers(home: Path) -> Iterator[Secured]:
    """Both servers on fresh data, stopped at the end."""
    home.parent.chmod(0o755)  # the database server's user must get in when tests run as root
    layout = layout_of(home)
    create_home(layout)
    (home / "certificates").mkdir()
    signer = authority(home / "certificates")
    with ExitStack() as stack:
        ports = _kafka(stack, layout, signer)
        dsn = _postgres(stack, layout, signer)
        yield Secured(home, f"{HOST}:{ports[1]}", f"{HOST}:{ports[2]}", dsn, signer)


def _kafka(stack: ExitStack, layout: Layout, signer: Authority) -> tuple[int, int, int]:
    """A broker; its ports: open (for itself), SASL_SSL, SSL with certificates."""
    java = find_java(None)
    jars.ensure_jars(layout.kafka / "libs", java=java, progress=print)
    config = layout.kafka / "config"
    config.mkdir()
    own, named, certified = choose(), choose(), choose()
    properties = _secured(layout, signer, (own, named, certified))
    (config / "server.properties").write_text(to_properties(properties))
    (config / "log4j2.properties").write_text(LOG4J2)
    daemon = kafka.daemon(layout)
    command = ["env", "LC_ALL=C.UTF-8", str(java), *JVM_FLAGS, daemon.marker,
               "-cp", f"{config}:{layout.kafka / 'libs'}/*"]  # fmt: skip
    known = [f"SCRAM-SHA-512=[name={name},password={PASSWORD}]" for name in (USERNAME, *USERS)]
    formatting = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER,
                  "--config", str(config / "server.properties"),
                  *(part for one in known for part in ("--add-scram", one))]  # fmt: skip
    done = subprocess.run([*command, *formatting], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    process = launch(daemon, [*command, "kafka.Kafka", str(config / "server.properties")])
    stack.callback(stop, daemon, process, within_s=30, progress=print)
    log = layout.kafka / "log" / "server.log"
    await_ready(
        daemon,
        process,
        lambda: accepts(certified) and "Kafka Server started" in log.read_text(),
        within_s=90,
    )
    return own, named, certified


def _secured(
    layout: Layout, signer: Authority, ports: tuple[int, int, int]
) -> dict[str, str | int]:
    own, named, certified = ports
    server = layout.root / "certificates" / "server-both.pem"
    server.write_text(signer.signed("kafka").both())
    controller = choose(avoid=ports)
    given = server_properties(data=layout.kafka / "data", port=own, controller_port=controller)
    listeners = f"OWN://{HOST}:{own},NAMED://{HOST}:{named},CERTIFIED://{HOST}:{certified}"
    protocols = "OWN:PLAINTEXT,NAMED:SASL_SSL,CERTIFIED:SSL,CONTROLLER:PLAINTEXT"
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return given | {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{USERNAME};User:CN=worker",
        "listeners": f"{listeners},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": protocols,
        "inter.broker.listener.name": "OWN",
        "listener.name.named.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.named.scram-sha-512.sasl.jaas.config": login,
        "listener.name.certified.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(signer.file),
    }


def _postgres(stack: ExitStack, layout: Layout, signer: Authority) -> str:
    """A server that takes TLS only; its DSN."""
    site = find_site(layout, remembered=None)
    stack.callback(shutil.rmtree, site.data, ignore_errors=True)  # may be outside of the home
    initialise(site, password=DSN_PASSWORD)
    _secure(site, signer)
    port = choose()
    process = postgres.start(layout, site, port=port, progress=print)
    daemon: Daemon = postgres.daemon(layout, site.data)
    stack.callback(stop, daemon, process, within_s=30, progress=print)
    postgres.await_answer(layout, process, data=site.data, port=port, password=DSN_PASSWORD)
    dsn = postgres.dsn(port=port, password=DSN_PASSWORD)
    return f"{dsn}?sslmode=verify-full&sslrootcert={signer.file}"


def _secure(site: Site, signer: Authority) -> None:
    made = signer.signed("postgres")
    for name, source in (("server.crt", made.certificate), ("server.key", made.key)):
        shutil.copyfile(source, site.data / name)
        (site.data / name).chmod(0o600)
        if site.user is not None:
            os.chown(site.data / name, site.user.uid, site.user.gid)
    with (site.data / "postgresql.conf").open("a") as settings:
        settings.write("\nssl = on\n")
    (site.data / "pg_hba.conf").write_text(f"hostssl all {ROLE} {HOST}/32 scram-sha-256\n")
