"""Settings that name servers; a wrong one stops the process and tells no secret."""

import pytest
from perdure_common.settings import SettingError, Settings

NEEDED = {"PERDURE_DATABASE_URL": "postgresql://x/y", "PERDURE_KAFKA_BOOTSTRAP": "k:9092"}


def read(**environ: str) -> Settings:
    return Settings.read("runner", {**NEEDED, **environ})


def test_servers_are_named() -> None:
    found = read(
        PERDURE_SQL_DATABASES="shop=postgresql://u:p@h1,h2/d?x=1  other=postgres://h/e",
        PERDURE_MAIL_SERVERS="office=smtps://u:p%40@h relay=smtp://h:25",
        PERDURE_GITHUB_URL="https://github.example.com/api/v3/",
    )
    assert found.sql_databases == {
        "shop": "postgresql://u:p@h1,h2/d?x=1",
        "other": "postgres://h/e",
    }
    assert found.mail_servers == {"office": "smtps://u:p%40@h", "relay": "smtp://h:25"}
    assert found.github_url == "https://github.example.com/api/v3"
    assert (read().sql_databases, read().slack_url) == ({}, "https://slack.com/api")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PERDURE_SQL_DATABASES", "postgresql://u:secret@h/d"),
        ("PERDURE_SQL_DATABASES", "shop=mysql://u:secret@h/d"),
        ("PERDURE_SQL_DATABASES", "a=postgresql://h/d a=postgresql://u:secret@h/d"),
        ("PERDURE_MAIL_SERVERS", "office=https://u:secret@h"),
        ("PERDURE_MAIL_SERVERS", "office=smtp://u:secret@h"),
        ("PERDURE_SLACK_URL", "slack.com"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name) as error:
        read(**{name: value})
    assert "secret" not in str(error.value)


def test_mails_are_taken_sealed_alone_where_there_is_a_certificate() -> None:
    assert read(PERDURE_SMTP_CERTIFICATE="c.pem").smtp_tls == "require"
    offered = read(PERDURE_SMTP_CERTIFICATE="c.pem", PERDURE_SMTP_TLS="offer")
    assert (offered.smtp_certificate, offered.smtp_tls) == ("c.pem", "offer")
    with pytest.raises(SettingError, match="PERDURE_SMTP_CERTIFICATE"):
        read(PERDURE_SMTP_TLS="require")
    with pytest.raises(SettingError, match="require or offer"):
        read(PERDURE_SMTP_CERTIFICATE="c.pem", PERDURE_SMTP_TLS="on")
