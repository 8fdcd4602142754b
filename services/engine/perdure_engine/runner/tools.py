"""What nodes reach the world with: made once for a process, closed with it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from perdure_common.outbound import AllowList
from perdure_common.settings import GITHUB_URL, GOOGLE_CALENDAR_URL, SLACK_URL, Settings

from perdure_engine.runner.clients import CLIENTS, Clients
from perdure_engine.runner.databases import Databases


@dataclass(frozen=True)
class Tools:
    """Connections and addresses. `mail` are servers by the names that nodes call them by."""

    http: Clients
    allowed: AllowList
    databases: Databases = field(default_factory=Databases)
    mail: Mapping[str, str] = field(default_factory=dict[str, str])
    slack_url: str = SLACK_URL
    github_url: str = GITHUB_URL
    google_calendar_url: str = GOOGLE_CALENDAR_URL


@asynccontextmanager
async def tools_of(settings: Settings, clients: int = CLIENTS) -> AsyncGenerator[Tools]:
    """Give the tools that the settings describe.

    Raises:
        ValueError: An entry of `PERDURE_HTTP_ALLOW` is neither a network nor `host:port`.
    """
    databases = Databases(settings.sql_databases)
    try:
        async with Clients(clients) as http:
            yield Tools(
                http=http,
                allowed=AllowList.parse(settings.http_allow),
                databases=databases,
                mail=settings.mail_servers,
                slack_url=settings.slack_url,
                github_url=settings.github_url,
                google_calendar_url=settings.google_calendar_url,
            )
    finally:
        await databases.close()
