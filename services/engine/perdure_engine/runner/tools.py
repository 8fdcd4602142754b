"""What nodes reach the world with: made once for a process, closed with it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from perdure_common.adapters.memory_files import MemoryFiles
from perdure_common.credentials import Credentials, PostgresCredentials, Seal
from perdure_common.outbound import AllowList
from perdure_common.settings import GITHUB_URL, GOOGLE_CALENDAR_URL, SLACK_URL, Settings
from perdure_common.shell.files import FileStore

from perdure_engine.runner.agents.connections import Connections
from perdure_engine.runner.clients import CLIENTS, Clients
from perdure_engine.runner.databases import Databases
from perdure_engine.runner.dependencies import Dependencies
from perdure_engine.runner.files import FILE_BYTES_MAX
from perdure_engine.runner.progress import Progress, Silent
from perdure_engine.runner.secrets import NoCredentials
from perdure_engine.runner.substeps import MemorySubsteps, PostgresSubsteps, Substeps


@dataclass(frozen=True)
class Tools:
    """Connections and addresses. `mail` are servers by the names that nodes call them by.

    `substeps`, `progress` and `models` are for agents, `model_prices` as in the settings.
    """

    http: Clients
    allowed: AllowList
    databases: Databases = field(default_factory=Databases)
    mail: Mapping[str, str] = field(default_factory=dict[str, str])
    slack_url: str = SLACK_URL
    github_url: str = GITHUB_URL
    google_calendar_url: str = GOOGLE_CALENDAR_URL
    credentials: Credentials = field(default_factory=NoCredentials)
    substeps: Substeps = field(default_factory=MemorySubsteps)
    progress: Progress = field(default_factory=Silent)
    models: Connections = field(default_factory=Connections)
    model_prices: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    code_languages: tuple[str, ...] = ()
    dependencies: Dependencies = field(default_factory=Dependencies)
    files: FileStore = field(default_factory=MemoryFiles)
    file_bytes_max: int = FILE_BYTES_MAX


@asynccontextmanager
async def tools_of(
    settings: Settings, files: FileStore, clients: int = CLIENTS
) -> AsyncGenerator[Tools]:
    """Give the tools that the settings describe, for short tasks without secrets.

    Raises:
        ValueError: An entry of `PERDURE_HTTP_ALLOW` is neither a network nor `host:port`.
    """
    databases = Databases(settings.sql_databases)
    allowed = AllowList.parse(settings.http_allow)
    try:
        async with Clients(clients) as http:
            yield Tools(
                http=http,
                allowed=allowed,
                databases=databases,
                mail=settings.mail_servers,
                slack_url=settings.slack_url,
                github_url=settings.github_url,
                google_calendar_url=settings.google_calendar_url,
                models=Connections(allowed),
                model_prices=settings.model_prices,
                files=files,
                file_bytes_max=settings.file_bytes_max,
            )
    finally:
        await databases.close()


@asynccontextmanager
async def runners_tools(
    settings: Settings, files: FileStore, progress: Progress, substeps: PostgresSubsteps
) -> AsyncGenerator[Tools]:
    """Give all the tools of a runner: secrets, agents and code too. Raises as `tools_of`."""
    credentials = PostgresCredentials(settings.database_url, Seal(settings.credentials_keys))
    async with AsyncExitStack() as opened:
        tools = await opened.enter_async_context(tools_of(settings, files))
        opened.push_async_callback(credentials.close)
        opened.push_async_callback(substeps.close)
        opened.push_async_callback(tools.models.close)
        yield replace(
            tools,
            credentials=credentials,
            substeps=substeps,
            progress=progress,
            code_languages=settings.code_languages,
        )
