"""Every setting of perdure, read from the environment in one place.

A setting that is wrong stops the process at the start, with a sentence that names it.
"""

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from perdure_common.errors import Told

DEFAULT_TENANT = "00000000-0000-7000-8000-000000000001"
"""The tenant that trigger events from topics belong to when none is configured."""

DEFAULT_WORKSPACE = "00000000-0000-7000-8000-000000000002"
"""The workspace of a workflow that names none."""

DELIVERY_RETENTION_S = 7 * 86_400.0
"""How long the answer to an outsider's message is kept for when it comes again."""

EXECUTION_DAYS_MIN = 7
"""Days for which an execution is kept after its end at least: as long as topics keep records."""

SESSION_S = 10.0
"""After so long without a sign of life a process has left its groups."""

DATABASE_WAIT_S = 30.0
"""After so long without an answer to a statement a connection to PostgreSQL counts as lost."""

PORTS = {"engine": 8741, "scheduler": 8742, "recovery": 8743, "runner": 8744}
"""Where each process answers HTTP unless `PERDURE_<NAME>_PORT` says otherwise."""


HOOKS_PORT = 8745
"""Where the scheduler listens for webhooks unless `PERDURE_HOOKS_PORT` says otherwise."""

HOOKS_PER_MINUTE = 600
HOOKS_BYTES_MAX = 1024 * 1024
"""What the listener takes for triggers that say nothing of it: requests a minute, bytes."""

HOOKS_PER_MINUTE_CAP = 6_000
HOOKS_BYTES_CAP = 8 * 1024 * 1024
"""The most of both that a trigger may ask for."""

SLACK_URL = "https://slack.com/api"
GITHUB_URL = "https://api.github.com"
GOOGLE_CALENDAR_URL = "https://www.googleapis.com/calendar/v3"
"""Where the APIs of services are unless a setting says otherwise."""

SQL_SCHEMES = ("postgresql", "postgres")
MAIL_SCHEMES = ("smtps", "smtp+starttls", "smtp")
"""What the addresses of databases and mail servers may begin with."""

CODE_LANGUAGES = ("javascript", "python")
"""The languages that the node CODE may be allowed to run."""

KEY_BYTES = 32
"""The length of a key of credentials: AES-256."""

SERVERS = "PERDURE_SERVERS"
"""Names a file with the servers' addresses, which may still be on its way.

`perdure up` starts the services while the servers start: each loads its code meanwhile.
"""

SERVERS_WAIT_S = 300.0


class SettingError(Told, ValueError):
    """A setting cannot be used; the text names it and says what it may be."""

    code = "wrong_setting"
    exit_code = 2


@dataclass(frozen=True)
class Settings:
    """The settings of one process. Durations are in seconds.

    `partitions` is N: the partitions of every internal topic, fixed at installation.
    `topic_prefix` replaces the first word of every topic's name. `http_allow` lists
    networks and `host:port` pairs that outgoing requests may reach beside public ones.
    `delivery_retention_s` is how long answers to outsiders' messages are kept.
    `session_s` is how long a process may be silent until its shards go to others,
    `database_wait_s` how long PostgreSQL may say nothing to a statement.
    `memory_mb` is what waiting records, unsent messages and open streams may weigh together.
    `hand_over` is how many short side effects the engine has under way in its own process at once.
    `result_bytes_max` is how large what a node gives may be, as JSON, `file_bytes_max` a file.
    `log_retention_days` is how long logs of executions are kept, 0 for ever;
    `execution_retention_days` how long executions themselves are after their end, and
    `workspace_retention_days` those of a workspace, by its id;
    `recovery_retention_days` the shortest kind of recovery's rows. `prose_url`, `prose_model`
    and `prose_key` name the model that puts explanations into other words, none by default.
    `stall_scan_s` is how often open executions are looked at that may be stuck, `stall_grace_s`
    how long something may be overdue before it counts as stuck.
    `sql_databases` and `mail_servers` are URLs by the names that nodes call them by; the other
    `…_url` are where the APIs of services are. `credentials_keys` open credentials, the first one
    seals new ones. `model_prices` are US dollars for a million input and output tokens, by model.
    `open_executions_max` is how many executions of a tenant may be open,
    `open_executions_per_shard` how many of a shard, where tenants take turns; 0 is as many as come.
    More wait, `queued_executions_max` at most.
    `smtp_host` and `smtp_port` are where mails are taken, port 0 nowhere; `smtp_certificate` and
    `smtp_key` are files in PEM for STARTTLS, without which nothing is taken unless `smtp_tls` is
    `offer`.
    The `hooks_…` are of the scheduler's listener: where it listens, how others reach it, how many
    requests a path takes a minute (0: any number), and how large a body may be; the `…_cap` are
    the most of both that a trigger may ask for. `engine_url` is where it gets the files that
    workflows answer with.
    `code_languages` are those in which nodes may run code of a workflow's author.
    """

    database_url: str = ""
    kafka_bootstrap: str = ""
    tenant_id: str = DEFAULT_TENANT
    topic_prefix: str = "perdure"
    partitions: int = 8
    http_host: str = "127.0.0.1"
    http_port: int = 0
    http_allow: tuple[str, ...] = ()
    lanes: int = 1
    memory_mb: int = 512
    hand_over: int = 8
    verdict_wait_s: float = 10.0
    delivery_retention_s: float = DELIVERY_RETENTION_S
    sql_databases: Mapping[str, str] = field(default_factory=dict[str, str])
    mail_servers: Mapping[str, str] = field(default_factory=dict[str, str])
    slack_url: str = SLACK_URL
    github_url: str = GITHUB_URL
    google_calendar_url: str = GOOGLE_CALENDAR_URL
    resume_url: str = ""
    prose_url: str = ""
    prose_model: str = ""
    prose_key: str = field(default="", repr=False)
    hooks_host: str = "127.0.0.1"
    hooks_port: int = HOOKS_PORT
    hooks_url: str = ""
    engine_url: str = f"http://127.0.0.1:{PORTS['engine']}"
    hooks_per_minute: int = HOOKS_PER_MINUTE
    hooks_bytes_max: int = HOOKS_BYTES_MAX
    hooks_per_minute_cap: int = HOOKS_PER_MINUTE_CAP
    hooks_bytes_cap: int = HOOKS_BYTES_CAP
    credentials_keys: tuple[bytes, ...] = field(default=(), repr=False)
    model_prices: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    code_languages: tuple[str, ...] = ()
    open_executions_max: int = 0
    open_executions_per_shard: int = 0
    queued_executions_max: int = 100_000
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 0
    smtp_certificate: str = ""
    smtp_key: str = ""
    smtp_tls: str = "require"
    session_s: float = SESSION_S
    database_wait_s: float = DATABASE_WAIT_S
    log_retention_days: int = 30
    execution_retention_days: int = 30
    workspace_retention_days: Mapping[str, int] = field(default_factory=dict[str, int])
    recovery_retention_days: int = 90
    result_bytes_max: int = 8 * 1024 * 1024
    file_bytes_max: int = 64 * 1024 * 1024
    stall_scan_s: float = 10.0
    stall_grace_s: float = 60.0
    log_format: str = "json"
    log_level: str = "INFO"

    @classmethod
    def read(cls, process: str, environ: Mapping[str, str] | None = None) -> "Settings":
        """Return the settings of `process` (`engine`, `runner`, …).

        Raises:
            SettingError: A value cannot be read, or a server's address is missing.
        """
        env = os.environ if environ is None else environ
        if env.get(SERVERS) and not env.get("PERDURE_DATABASE_URL"):
            env = {**env, **_servers(Path(env[SERVERS]))}
        for name in ("PERDURE_DATABASE_URL", "PERDURE_KAFKA_BOOTSTRAP"):
            if not env.get(name):
                raise SettingError(
                    f"{name} is not set; `perdure up` sets it, or give the server's address"
                )
        port = f"PERDURE_{process.upper()}_PORT"
        retention = _execution_days(env)
        return cls(
            database_url=env["PERDURE_DATABASE_URL"],
            kafka_bootstrap=env["PERDURE_KAFKA_BOOTSTRAP"],
            tenant_id=env.get("PERDURE_TENANT") or DEFAULT_TENANT,
            topic_prefix=env.get("PERDURE_TOPIC_PREFIX") or "perdure",
            partitions=_integer(env, "PERDURE_PARTITIONS", 8, least=1),
            http_host=env.get("PERDURE_HTTP_HOST") or "127.0.0.1",
            http_port=_integer(env, port, PORTS.get(process, 0), least=0),
            http_allow=_words(env.get("PERDURE_HTTP_ALLOW", "")),
            lanes=_integer(env, "PERDURE_LANES", 1, least=1),
            memory_mb=_integer(env, "PERDURE_MEMORY_MB", 512, least=16),
            hand_over=_integer(env, "PERDURE_HAND_OVER", 8, least=0),
            verdict_wait_s=_seconds(env, "PERDURE_VERDICT_WAIT_S", 10.0),
            delivery_retention_s=_seconds(
                env, "PERDURE_DELIVERY_RETENTION_S", DELIVERY_RETENTION_S
            ),
            sql_databases=_named(env, "PERDURE_SQL_DATABASES", SQL_SCHEMES),
            mail_servers=_mail_servers(env),
            slack_url=_url(env, "PERDURE_SLACK_URL", SLACK_URL),
            github_url=_url(env, "PERDURE_GITHUB_URL", GITHUB_URL),
            google_calendar_url=_url(env, "PERDURE_GOOGLE_CALENDAR_URL", GOOGLE_CALENDAR_URL),
            resume_url=_maybe_url(env, "PERDURE_RESUME_URL"),
            prose_url=_maybe_url(env, "PERDURE_PROSE_URL"),
            prose_model=env.get("PERDURE_PROSE_MODEL", ""),
            prose_key=env.get("PERDURE_PROSE_KEY", ""),
            hooks_host=env.get("PERDURE_HOOKS_HOST") or "127.0.0.1",
            hooks_port=_integer(env, "PERDURE_HOOKS_PORT", HOOKS_PORT, least=0),
            hooks_url=_maybe_url(env, "PERDURE_HOOKS_URL"),
            engine_url=_url(env, "PERDURE_ENGINE_URL", cls.engine_url),
            hooks_per_minute=_integer(env, "PERDURE_HOOKS_PER_MINUTE", HOOKS_PER_MINUTE, least=0),
            hooks_bytes_max=_integer(env, "PERDURE_HOOKS_BYTES_MAX", HOOKS_BYTES_MAX, least=1_000),
            hooks_per_minute_cap=_integer(
                env, "PERDURE_HOOKS_PER_MINUTE_CAP", HOOKS_PER_MINUTE_CAP, least=0
            ),
            hooks_bytes_cap=_integer(env, "PERDURE_HOOKS_BYTES_CAP", HOOKS_BYTES_CAP, least=1_000),
            credentials_keys=credentials_keys(env),
            model_prices=_prices(env),
            code_languages=_chosen(env, "PERDURE_CODE", CODE_LANGUAGES),
            open_executions_max=_integer(env, "PERDURE_OPEN_EXECUTIONS_MAX", 0, least=0),
            open_executions_per_shard=_integer(
                env, "PERDURE_OPEN_EXECUTIONS_PER_SHARD", 0, least=0
            ),
            queued_executions_max=_integer(env, "PERDURE_QUEUED_EXECUTIONS_MAX", 100_000, least=0),
            smtp_host=env.get("PERDURE_SMTP_HOST") or "127.0.0.1",
            smtp_port=_integer(env, "PERDURE_SMTP_PORT", 0, least=0),
            smtp_certificate=env.get("PERDURE_SMTP_CERTIFICATE", ""),
            smtp_key=env.get("PERDURE_SMTP_KEY", ""),
            smtp_tls=_smtp_tls(env),
            session_s=_seconds(env, "PERDURE_SESSION_S", SESSION_S),
            database_wait_s=_seconds(env, "PERDURE_DATABASE_WAIT_S", DATABASE_WAIT_S)
            or DATABASE_WAIT_S,
            result_bytes_max=_integer(
                env, "PERDURE_RESULT_BYTES_MAX", 8 * 1024 * 1024, least=1_000
            ),
            file_bytes_max=_integer(env, "PERDURE_FILE_BYTES_MAX", 64 * 1024 * 1024, least=1_000),
            log_retention_days=_integer(env, "PERDURE_LOG_RETENTION_DAYS", 30, least=0),
            execution_retention_days=retention.pop(""),
            workspace_retention_days=retention,
            recovery_retention_days=_integer(env, "PERDURE_RECOVERY_RETENTION_DAYS", 90, least=0),
            stall_scan_s=_seconds(env, "PERDURE_STALL_SCAN_S", 10.0) or 10.0,
            stall_grace_s=_seconds(env, "PERDURE_STALL_GRACE_S", 60.0),
            log_format=env.get("PERDURE_LOG_FORMAT") or "json",
            log_level=(env.get("PERDURE_LOG_LEVEL") or "INFO").upper(),
        )


def _servers(path: Path) -> dict[str, str]:
    """Return the addresses in a file, waiting until it is there.

    Raises:
        SettingError: It does not come.
    """
    deadline = time.monotonic() + SERVERS_WAIT_S
    while time.monotonic() < deadline:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            time.sleep(0.02)
    raise SettingError(f"{SERVERS} names {path}, which is not there; the servers did not start")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


def _named(env: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> dict[str, str]:
    """Return the addresses in `name=address` entries with spaces between, by their names."""
    found: dict[str, str] = {}
    for place, entry in enumerate(env.get(name, "").split(), 1):
        called, equals, address = entry.partition("=")
        if not called or not equals or address.partition("://")[0] not in schemes:
            raise SettingError(  # the entry may have a password in it
                f"entry {place} of {name} cannot be used; write "
                f"name=address with spaces between, addresses with {' or '.join(schemes)}://"
            )
        if called in found:
            raise SettingError(f"{name} has two entries called {called!r}; rename one")
        found[called] = address
    return found


def _mail_servers(env: Mapping[str, str]) -> dict[str, str]:
    name = "PERDURE_MAIL_SERVERS"
    found = _named(env, name, MAIL_SCHEMES)
    for called, address in found.items():
        if address.startswith("smtp://") and "@" in address:
            raise SettingError(
                f"{name} has a password for {called!r}, but smtp:// would send it in the clear; "
                "write smtps:// or smtp+starttls://, or leave the password out"
            )
    return found


def _smtp_tls(env: Mapping[str, str]) -> str:
    """Return whether mails are taken after STARTTLS alone (`require`), or without it too."""
    found = env.get("PERDURE_SMTP_TLS", "")
    if found not in ("", "require", "offer"):
        raise SettingError(f"PERDURE_SMTP_TLS is {found!r}; write require or offer")
    if found and not env.get("PERDURE_SMTP_CERTIFICATE"):
        raise SettingError(
            f"PERDURE_SMTP_TLS is {found}, but there is no certificate to {found} it with; let "
            "PERDURE_SMTP_CERTIFICATE name a file in PEM"
        )
    return found or "require"


def credentials_keys(env: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the keys of credentials that the environment has, the one that seals first.

    Raises:
        SettingError: An entry is no key; the text does not repeat it.
    """
    found: list[bytes] = []
    for place, word in enumerate(_words(env.get("PERDURE_CREDENTIALS_KEY", "")), 1):
        try:
            key = base64.urlsafe_b64decode(word)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise SettingError(
                f"entry {place} of PERDURE_CREDENTIALS_KEY is no key; `perdure credentials key` "
                f"makes one: {KEY_BYTES} bytes in base64"
            )
        found.append(key)
    return tuple(found)


def _prices(env: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Return prices from `model=input/output` entries with spaces between."""
    name = "PERDURE_MODEL_PRICES"
    found: dict[str, tuple[float, float]] = {}
    for entry in _words(env.get(name, "")):
        model, _, prices = entry.rpartition("=")
        into, _, out = prices.partition("/")
        try:
            pair = (float(into), float(out))
        except ValueError:
            pair = (-1.0, -1.0)
        if not model or not all(0 <= price < float("inf") for price in pair):
            raise SettingError(
                f"{name} has {entry!r}; write model=input/output, in US dollars for a million "
                "tokens, such as my-model=0.5/1.5"
            )
        found[model] = pair
    return found


def _chosen(env: Mapping[str, str], name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of a setting, each of which must be known."""
    words = _words(env.get(name, ""))
    for word in words:
        if word not in known:
            raise SettingError(f"{name} has {word!r}; it may have {', '.join(known)}")
    return words


def _execution_days(env: Mapping[str, str]) -> dict[str, int]:
    """Return how many days executions are kept, by workspace, and under "" all others."""
    name = "PERDURE_EXECUTION_RETENTION_DAYS"
    found = {"": 30}
    for word in _words(env.get(name, "")):
        workspace, _, text = word.rpartition("=")
        days = int(text) if text.isdecimal() else -1
        if days and days < EXECUTION_DAYS_MIN:
            raise SettingError(
                f"{name} has {word!r}; write days, and workspace=days where a workspace has its "
                f"own: 0 for ever, or {EXECUTION_DAYS_MIN} and more, as long as topics keep records"
            )
        found[workspace] = days
    return found


def _url(env: Mapping[str, str], name: str, default: str) -> str:
    text = (env.get(name) or default).rstrip("/")
    if not text.startswith(("https://", "http://")):
        raise SettingError(f"{name} is {text[:80]!r}; it must begin with https:// or http://")
    return text


def _maybe_url(env: Mapping[str, str], name: str) -> str:
    return _url(env, name, "") if env.get(name) else ""


def _integer(env: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = env.get(name)
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise SettingError(f"{name} is {text!r}; it must be a whole number from {least} up")
    return int(text)


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise SettingError(f"{name} is {text!r}; it must be a number of seconds")
    return value
