"""All settings, read once from the environment and checked before anything starts.

Each field is the environment variable ``TRUNKLINE_<NAME>``, but for those that the world has
names for already (``KAFKA_BOOTSTRAP_SERVERS``, ``DATABASE_URL``).
"""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict, SettingsError

from trunkline.connection import KafkaConnection
from trunkline.errors import ConfigurationError
from trunkline.http_settings import CommaSeparated, Networks, Token, TokenFile, http_token
from trunkline.retries.backoff import parse_backoff
from trunkline.security.settings import SecuritySettings

#: Where the embedded broker listens unless told otherwise.
EMBEDDED_PORT = 19092

#: Variables whose values no message shows.
_SECRET = frozenset({"TRUNKLINE_TOKEN"})

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")


class Settings(SecuritySettings):
    """What one process was told by its environment."""

    model_config = SettingsConfigDict(
        env_prefix="TRUNKLINE_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    #: Which service this process is; see ``trunkline/topology.py``.
    service: str = ""
    #: Put before every topic and group: ``<namespace>.auth.registered``.
    namespace: str = ""
    #: ``host:port[,host:port…]``; unset means the embedded broker.
    kafka_bootstrap_servers: str = Field("", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    #: Embedded broker: first port, and the folder of its data and state.
    broker_port: Annotated[int, Field(ge=1, le=65_000)] = EMBEDDED_PORT
    broker_dir: Path = Path(".trunkline/broker")
    #: Name of this process among its service's pods; the static membership id when that is on.
    pod: str = Field(
        "", validation_alias=AliasChoices("TRUNKLINE_POD", "HONCHO_PROCESS_NAME", "POD_NAME")
    )
    #: Tables and SQLite files live in ``<data_dir>/<pod>``.
    data_dir: Path = Path(".trunkline/data")
    #: SQLAlchemy URL; unset means an SQLite file per service in ``data_dir``.
    database_url: str = Field("", validation_alias="DATABASE_URL", repr=False)
    web_host: str = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, validation_alias=AliasChoices("TRUNKLINE_WEB_PORT", "PORT")
    )
    #: Whether this worker serves the console; the service ``console`` always does.
    console: bool = False
    #: What HTTP requests must show (``Authorization: Bearer …``, or by signing in), or its file.
    token: Token = SecretStr("")
    token_file: TokenFile = None
    #: How long a sign-in at the console is good for.
    sign_in_hours: Annotated[float, Field(gt=0, le=720)] = 12.0
    #: Names under which the web server may be asked, besides loopback.
    web_hosts: CommaSeparated = ()
    #: Networks of proxies whose ``X-Forwarded-For`` is believed.
    trusted_proxies: Networks = ()
    #: Fields of payloads that the console never shows.
    mask_fields: CommaSeparated = ()
    #: Largest HTTP body that a publisher takes.
    max_body_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024 * 1024
    #: Largest single event (key, value and headers) that is published.
    max_event_bytes: Annotated[int, Field(ge=1024, le=100 * 1024 * 1024)] = 1024 * 1024
    #: How long a publisher waits for the broker's acknowledgement before it answers 503.
    publish_timeout_s: Annotated[float, Field(ge=0.5, le=600)] = 10.0
    #: Bodies that a publisher holds at once, in bytes; beyond it answers 503.
    max_in_flight_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024 * 1024

    #: As what events are published: plain JSON, or CloudEvents in one of their modes.
    cloudevents: Literal["off", "binary", "structured"] = "off"

    #: Seed, section 4: how long a silent pod keeps its partitions.
    session_timeout_s: Annotated[float, Field(ge=1, le=1800)] = 30.0
    #: Seed, section 4: how long a pod may go without asking for records.
    max_poll_interval_s: Annotated[float, Field(ge=5, le=7200)] = 60.0
    #: Kafka static membership (KIP-345): a pod back within the session timeout causes no rebalance.
    static_membership: bool = False
    #: How often finished offsets are committed.
    commit_interval_s: Annotated[float, Field(ge=0.01, le=60)] = 0.5
    #: How long handlers may finish when partitions are revoked or the worker stops.
    drain_timeout_s: Annotated[float, Field(ge=0.1, le=600)] = 5.0
    #: SIGTERM ends a worker within this time, whatever hangs.
    shutdown_timeout_s: Annotated[float, Field(ge=1, le=600)] = 9.0
    #: A partition where nothing moves for so long, and nothing excuses it, is stuck. An idle worker
    #: asks for records once a second: it must be given a few of these.
    stuck_after_s: Annotated[float, Field(ge=5, le=86_400)] = 300.0
    #: How long a worker that starts waits for topics, rights and users that are missing.
    start_wait_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    #: What workers run on; ``asyncio`` is Python's own loop.
    event_loop: Literal["uvloop", "asyncio"] = "uvloop"
    #: How soon new partitions and topics are noticed.
    metadata_max_age_s: Annotated[float, Field(ge=0.5, le=3600)] = 30.0
    #: Events of a partition that may be unfinished before fetching it pauses, and their bytes; one
    #: fetch (1 MiB) may come on top.
    max_unfinished: Annotated[int, Field(ge=1, le=1_000_000)] = 30_000
    max_unfinished_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    #: Keys of a partition that are handled at once, by plain topic name: ``{"order.created": 9}``.
    concurrency: dict[str, Annotated[int, Field(ge=1, le=10_000)]] = Field(default_factory=dict)

    #: Seed, DLQ handling: retries of a failed event, after its first attempt.
    max_retries: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        3, validation_alias=AliasChoices("TRUNKLINE_MAX_RETRIES", "MAX_RETRIES")
    )
    #: Delays between them; see ``trunkline/retries/backoff.py``.
    retry_backoff: str = "exponential:1,2,60"
    #: Time since its first failure after which an event is given up; 0 is no limit.
    retry_deadline_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    #: Fields of :class:`trunkline.retries.policy.RetryPolicy` by plain topic name, as JSON:
    #: ``{"order.created": {"max_retries": 5}}``. Checked by ``check_policies``.
    retry: Annotated[dict[str, Any], NoDecode] = Field(default_factory=dict)

    #: Attempts at waiting events that run at once, for each partition of the failures topic.
    retry_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 64

    #: Breaker: share of a topic's attempts that may fail for a transient reason, on one pod, before
    #: its events wait; 0 judges no share. It needs that many attempts within the window.
    breaker_share: Annotated[float, Field(ge=0, le=1)] = 0.9
    breaker_min_attempts: Annotated[int, Field(ge=1)] = 100
    breaker_window_s: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    #: How long they wait before one of them is tried; it doubles up to the longest.
    breaker_first_pause_s: Annotated[float, Field(ge=0.01, le=3600)] = 1.0
    breaker_longest_pause_s: Annotated[float, Field(ge=0.01, le=3600)] = 30.0
    #: Flood guard: share of a topic's events that may become dead letters, on one pod, before they
    #: are stopped for the pause; 0 stops none. It needs that many events within the window.
    flood_guard_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    flood_guard_min_events: Annotated[int, Field(ge=1)] = 1_000
    flood_guard_window_s: Annotated[float, Field(ge=0.1, le=86_400)] = 60.0
    flood_guard_pause_s: Annotated[float, Field(ge=0.1, le=86_400)] = 60.0

    #: Seed, section 3: ``fanout`` (a pod relays, all read that) or ``direct`` (a group a pod).
    notifications: Literal["fanout", "direct"] = "fanout"
    #: Clients of ``/notifications`` that one pod takes, and notifications that may wait for one.
    notification_clients: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    notification_queue: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    #: Newest notifications that a pod keeps for clients that reconnect, and reads when it starts.
    notification_replay: Annotated[int, Field(ge=0, le=10_000_000)] = 10_000
    #: How long a notification stream is silent before a heartbeat is sent.
    notification_heartbeat_s: Annotated[float, Field(ge=1, le=3600)] = 15.0
    #: Width of the activity-processor's windows, and how many are kept.
    activity_window_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    activity_windows_kept: Annotated[int, Field(ge=1, le=100_000)] = 60

    @field_validator("namespace", "pod")
    @classmethod
    def _is_a_kafka_name(cls, value: str) -> str:
        if value and not _NAME.match(value):
            raise ValueError("use letters, digits, '.', '_' and '-', at most 100 of them")
        return value

    @field_validator("retry_backoff")
    @classmethod
    def _is_a_backoff(cls, value: str) -> str:
        try:
            return str(parse_backoff(value))
        except ConfigurationError as error:
            raise ValueError(str(error)) from None

    @field_validator("retry", mode="before")
    @classmethod
    def _is_json_by_topic(cls, value: Any) -> Any:
        try:
            decoded = json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError(f"is no JSON ({error})") from None
        if isinstance(decoded, dict):
            return decoded
        raise ValueError('write a JSON object: {"order.created": {"max_retries": 5}}')

    @model_validator(mode="after")
    def _has_one_token(self) -> Settings:
        if self.token and self.token_file:
            raise ValueError("TRUNKLINE_TOKEN and TRUNKLINE_TOKEN_FILE are both set: keep one")
        return self

    @property
    def http_token(self) -> str:
        """Return the token that requests must show, ``""`` when none is set. Never print it."""
        return http_token(self.token, self.token_file)

    @property
    def http_headers(self) -> dict[str, str]:
        """Return what our own clients send to our own web servers."""
        token = self.http_token
        return {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def pod_name(self) -> str:
        """Name of this pod: as set, else made of service, host and port."""
        if self.pod:
            return self.pod
        return (
            f"{self.service or 'trunkline'}-{socket.gethostname()}-{self.web_port or os.getpid()}"
        )

    @property
    def pod_dir(self) -> Path:
        """Folder of this pod's tables; two workers on one host need two (DESIGN section 1)."""
        return self.data_dir / self.pod_name

    @property
    def bootstrap_servers(self) -> list[str]:
        """Return the brokers to ask first, as ``host:port``."""
        given = self.kafka_bootstrap_servers or f"127.0.0.1:{self.broker_port}"
        return [server.strip() for server in given.split(",") if server.strip()]

    @property
    def connection(self) -> KafkaConnection:
        """Return how to reach Kafka: what every client is given."""
        return KafkaConnection(tuple(self.bootstrap_servers), self.kafka_security)

    @property
    def uses_embedded_broker(self) -> bool:
        """Whether no cluster was named, so that the embedded broker is the one."""
        return not self.kafka_bootstrap_servers

    def sql_url(self, name: str) -> str:
        """Return the SQLAlchemy URL for a service's database: as set, else an SQLite file."""
        if self.database_url:
            return self.database_url
        return f"sqlite+aiosqlite:///{(self.data_dir / f'{name}.sqlite').absolute()}"


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A value is wrong; the message names the variable, the value and the
            reason, one line each.

    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None
    except SettingsError as error:
        # A value that is to be JSON and is none: the message names the field.
        raise ConfigurationError(
            f"Wrong settings:\n  {error}: write it as JSON. ({error.__cause__})"
        ) from None
    _ = settings.kafka_security  # its files are read now, not by the first client
    return settings


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        message = str(problem["msg"]).removeprefix("Value error, ")
        if not problem["loc"]:  # it is about several of them, and names them
            lines.append(message)
            continue
        variable = _variable_of(str(problem["loc"][0]))
        given = "…" if variable in _SECRET else repr(problem["input"])
        lines.append(f"{variable}={given}: {message}")
    return "Wrong settings:\n  " + "\n  ".join(lines)


def _variable_of(place: str) -> str:
    """Return the variable that was set: pydantic names a field's first one."""
    for field in Settings.model_fields.values():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices) and place in alias.choices:
            return next((str(name) for name in alias.choices if os.environ.get(str(name))), place)
    return place if place.isupper() else f"TRUNKLINE_{place.upper()}"
