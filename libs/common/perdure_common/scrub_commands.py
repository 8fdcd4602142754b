"""Secrets on command lines: what `-p`, `-u` or `-a` means depends on the command before it.

Looked for are options that say nothing by themselves (`docker run -p 80:80` opens a port,
`docker login -p …` gives a password away), in a shell's form and as a list of arguments. What
names a secret itself (`--password …`) is known whatever the command: see `scrub_forms.FLAG`.
"""

import re
from typing import Final

from .scrub_forms import GAP, masked_after_lead, value_after

_LINE_MAX: Final = 4_096
"""Characters of a command line that are looked at, from the command's name."""
_BEGIN: Final = r"(?P<lead>(?<=[\s\"'])"
_NAME: Final = r"[^\s:\"'@/<>]{0,64}"


def _row(
    words: tuple[str, ...], names: str, option: str
) -> tuple[tuple[str, ...], re.Pattern[str], re.Pattern[str]]:
    line = rf"(?<![\w.\-])(?:{names})(?![\w.])(?:[^\\\n]|\\(?s:.)){{0,{_LINE_MAX}}}"
    return words, re.compile(line), re.compile(option)


_COMMANDS: Final = (
    _row(  # name:password
        ("curl", "hurl", "etcdctl", "aria2c"),
        "curl|hurl|etcdctl|aria2c",
        rf"{_BEGIN}(?:-[A-Za-z#]{{0,8}}?[uU]{GAP}?|--(?:proxy-)?user{GAP})"
        + value_after(rf"{_NAME}:(?!//)"),
    ),
    _row(
        ("http", "xh ", "hey "),
        "https?|httpie|xh|hey",
        rf"{_BEGIN}(?:-a{GAP}?|--auth{GAP})" + value_after(_NAME + ":"),
    ),
    _row(  # a blank after it would ask for the password and name a database
        ("mysql", "mariadb"), r"mysql\w*|mariadb[\w\-]*", rf"{_BEGIN}-p" + value_after()
    ),
    _row(  # name,password
        ("lftp",),
        "lftp",
        rf"{_BEGIN}(?:-u{GAP}?|--user{GAP})" + value_after(r"[^\s,\"'<>]{1,64},"),
    ),
    _row(("ab -",), "ab", rf"{_BEGIN}-[AP]{GAP}?" + value_after(_NAME + ":")),
    _row(("creds",), r"\w+", rf"{_BEGIN}--(?:\w{{1,12}}-)?creds{GAP}" + value_after(_NAME + ":")),
    _row(("sshpass",), "sshpass", rf"{_BEGIN}-p{GAP}?" + value_after()),
    _row(
        ("login",),
        r"(?:docker|podman|nerdctl|buildah|skopeo|helm|oras|oc|az|cf)\b[^\n]{0,120}?\blogin",
        rf"{_BEGIN}-p{GAP}?" + value_after(),
    ),
    _row(
        ("mongo", "cqlsh", "cypher-shell", "rabbitmqadmin", "couchbase", "ncftp", "rdesktop"),
        r"mongo\w*|cqlsh|cypher-shell|rabbitmqadmin|couchbase-cli|ncftp\w*|rdesktop",
        rf"{_BEGIN}-p{GAP}?" + value_after(),
    ),
    _row(
        ("sqlcmd", "bcp", "isql", "tsql", "mosquitto", "ipmitool", "zip -"),
        r"sqlcmd|bcp|isql|tsql|mosquitto_\w+|ipmitool|(?:un)?zip",
        rf"{_BEGIN}-P{GAP}?" + value_after(),
    ),
    _row(("7z",), r"7z\w?", rf"{_BEGIN}-p" + value_after()),
    _row(("snmp",), r"snmp\w+", rf"{_BEGIN}-[AX]{GAP}?" + value_after()),
    _row(
        ("htpasswd",),
        "htpasswd",
        rf"{_BEGIN}-\w{{0,6}}b\w{{0,6}}\s{{1,3}}\S{{1,256}}\s{{1,3}}\S{{1,64}}\s{{1,3}}"
        + value_after(),
    ),
    _row(("redis-cli",), "redis-cli", rf"{_BEGIN}-a{GAP}" + value_after()),
    _row(("ldap",), r"ldap\w+", rf"{_BEGIN}-w{GAP}?" + value_after()),
    _row(("smbclient",), "smbclient", rf"{_BEGIN}-U{GAP}?" + value_after(r"[^\s%\"'<>]{1,64}%")),
    _row(("openssl",), "openssl", rf"{_BEGIN}-pass(?:in|out)?{GAP}" + value_after("pass:")),
)
"""Words that a text must have, the line of a command, and the option in it."""

_FED: Final = re.compile(
    r"(?P<lead>(?<![\w.\-])echo\s{1,3}(?:-n\s{1,3})?(?P<quote>[\"'])?)"
    r"(?(quote)[^\"'\n|]{1,256}|[^\s\"'|<>$-][^\s\"'|<>]{0,255})"
    r"(?=[\"']?\s{0,3}\|[^\n|]{0,120}?(?:-stdin|sudo\s{1,3}-S|chpasswd|--with-token)(?!\w))"
)
"""What is given to a command that reads a secret."""


def without_commands(text: str) -> str:
    """Return `text` without what is given to commands that take secrets as plain options."""
    for words, line, option in _COMMANDS:
        if any(word in text for word in words):
            text = line.sub(lambda found, of=option: of.sub(masked_after_lead, found[0]), text)
    return _FED.sub(masked_after_lead, text) if "echo" in text else text
