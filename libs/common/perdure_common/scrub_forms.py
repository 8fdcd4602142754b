"""How secrets are written: the patterns of `scrub`, and what each is looked for in.

A pattern begins with what it looks for, and looks back from there at what stands before: the
search for a place where it may begin is then a plain scan. Each is bounded, so that the time
that it takes is linear in the size of the text.
"""

import re
import unicodedata
from typing import Final

SECRET: Final = "<secret>"
"""What stands where a secret stood."""

KNOWN: Final = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"  # a form begins where a token begins: keeps the search linear
    r"sk-[A-Za-z0-9_\-]{16,}|[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|gl[a-z]{2,5}-[A-Za-z0-9_\-.]{16,}"
    r"|xox[a-z]-[A-Za-z0-9\-]{8,}|xapp-[A-Za-z0-9\-]{8,}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}|AIza[A-Za-z0-9_\-]{30,}|ya29\.[A-Za-z0-9_\-]{16,}"
    r"|GOCSPX-[A-Za-z0-9_\-]{16,}|1//[A-Za-z0-9_\-]{30,}|SG\.[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]+"
    r"|eyJ[A-Za-z0-9_\-]{6,}(?:\.[A-Za-z0-9_\-]+){1,4}|npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_\-]{16,}"
    r"|do[opr]_v1_[a-f0-9]{20,}|hf_[A-Za-z0-9]{16,}|shp[a-z]{2}_[A-Za-z0-9]{16,}"
    r"|dapi[a-f0-9]{20,}|hv[sb]\.[A-Za-z0-9_\-]{16,}|PMAK-[A-Za-z0-9\-]{16,}|lin_api_[A-Za-z0-9]{16,}"
    r"|key-[0-9a-f]{20,}|AGE-SECRET-KEY-1[A-Z0-9]{20,}"
    r")"
)
CLOUD_ID: Final = re.compile(
    r"((?:AKIA|ASIA)[A-Z0-9]{12,}(?![A-Z0-9])[^A-Za-z0-9][\s\S]{0,200}?)"
    r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])"
)
"""The id of a cloud's key and the secret that stands near it, which has no prefix."""
HOOKS: Final = ("hooks.slack.com/", "discord.com/api/webhooks/")
HOOK: Final = re.compile(
    r"(?i)(?<=hooks\.slack\.com/)[\w/+\-]{8,}|(?<=discord\.com/api/webhooks/)[\w/\-]+"
)
USERINFO: Final = re.compile(
    r"://(?:[^\s/\"'<>]{1,256}@|[^\s/@:\"'<>\[]{1,64}:(?!\d{1,5}(?!\w))[^\s@\"'<>]{1,256}@)"
)
"""Name and password of a URL, also if somebody left a slash or an @ in it as it is."""
SOURCE_NAME: Final = re.compile(
    r"(?<![\w.\-])([\w.\-]{1,64}+:)[^\s\"'@<>]{1,256}@(?=(?:tcp|unix)\()"
)
"""name:password@tcp(host:port), as Go writes it."""
SCHEMES: Final = ("bearer", "basic", "negotiate", "digest", "apikey")
OWN_SCHEMES: Final = ("token", "key", "api-key", "splunk", "ssws", "geniekey", "oauth", "jwt")
"""Schemes that some services have in the header; elsewhere they are words like others."""
SCHEME: Final = re.compile(
    r"([Bb](?<!\w.)(?i:earer|asic)|[Nn](?<!\w.)(?i:egotiate)|[Dd](?<!\w.)(?i:igest)"
    r"|[Aa](?<!\w.)(?i:pikey))\s{1,3}([A-Za-z0-9+/_.~\-]{6,}={0,2})"
)
GAP: Final = r"(?:\\{0,3}[\"'],\s{0,3}|\\{0,3}[\"']?\s{1,3}|=)"
"""What stands between an option and its value: in a shell, or in a list of arguments."""


def value_after(name: str = "", least: int = 1) -> str:
    """Return the pattern of an option's value after `name`, with blanks if it is quoted.

    It closes the group `lead`, which has all that stays: see `masked_after_lead`.
    """
    quoted = r"(?:(?!(?P=quote))[^\n]){1,512}"
    return rf"(?P<quote>\\{{0,3}}[\"'])?{name})(?!-)(?(quote){quoted}|[^\s\"'`]{{{least},512}})"


def masked_after_lead(match: re.Match[str]) -> str:
    """Return what stays of an option and its value."""
    return match["lead"] + SECRET


OPTION: Final = re.compile(r"-(?<![^\s\"'\[(,]-)")
"""Where an option of a command begins."""
FLAG: Final = re.compile(
    r"(?i)(?P<lead>-(?<![^\s\"'\[(,]-)-?(?:[\w\-]{0,30}-)?"
    r"(?:pass(?:word|wd|phrase|code)?|pwd|token|secret|pat|bearer"
    r"|(?:api|access|secret|account|storage|license|auth)-?key)\d?"
    r"(?:\\{0,3}[\"'],\s{0,3}|\s{1,3})" + value_after(least=3)
)
"""An option that says itself that it has a secret: `--token …`."""
KEY: Final = re.compile(
    # up to two dashes before it belong to it
    r"([A-Za-z\u00c0-\U0010ffff](?<![\w.].)(?<![\w.]-.)(?<![\w.\-]--.)[\w.\-]{1,60}+)"
    r"\\{0,15}[\"']?\]?\s{0,40}(?:=>|:=|==?|:)(\s{0,40})"
)
"""A key and what sets it; the blanks after that are a group."""
PAIR: Final = re.compile(
    r"(?i)(?P<lead>(?P<before>\\{0,3}[\"'])(?P<key>(?:[\w\-]{1,40}-)?(?:authorization|cookie)|x-[\w\-]{1,40})"
    r"(?P=before),\s{0,3}[bu]?(?P<quote>\\{0,3}[\"']))(?P<value>(?:(?!(?P=quote))[^\n]){1,4096})"
)
"""A header as two of a list: ("Authorization", "Bearer …")."""
HEADERS: Final = ("authorization", "cookie", "-key", "apikey", "-token", "-secret", "-password")
"""How the names of headers end that have secrets."""
PAIRED: Final = re.compile(r"[\s=\d]")
"""What the value of a header has, and the name of the next one has not."""
_QUOTE_ENTITY = "(?:&quot;|&#34;|&#x22;|&apos;|&#39;|&#x27;)"
_WRAPPED: Final = r"(?:[A-Za-z_][\w.:]{0,40}\(\s{0,3}){0,3}(?:\d{1,9}\)\s{0,3})?"
"""What languages write around a text: `Some("…")`, `SecretStr('…')`, `string(9) "…"`."""
MARKUP: Final = tuple(
    (words, re.compile(pattern, re.IGNORECASE))
    for words, pattern in (
        # <password>…</password>, in SOAP and configurations
        (
            ("</",),
            r"<(?:[\w\-]{1,40}+:)?([A-Za-z][\w.\-]{1,60}+)(?:\s[^<>]{0,200})?>([^<>]{1,4096})</",
        ),
        # &quot;password&quot;: &quot;…&quot;, JSON in a page
        (
            ("&quot;", "&apos;", "&#"),
            rf"([A-Za-z][\w.\-]{{1,60}}+){_QUOTE_ENTITY}\s{{0,3}}:\s{{0,3}}{_QUOTE_ENTITY}"
            rf"((?:(?!{_QUOTE_ENTITY})[^<>\n]){{1,4096}})",
        ),
        # name="password" value="…", and the field of a form: name="password", a blank line, …
        (
            ("name=", "key="),
            r"\b(?:name|key)=[\"']([A-Za-z][\w.\-]{1,60}+)[\"'](?:[^<>\r\n]{0,200}\bvalue=[\"']"
            r"|(?:;[^\r\n]{0,200})?(?:\r?\n){2})([^\"'<>\r\n]{1,4096})",
        ),
        # <entry key="password">…</entry>
        (
            ("</",),
            r"<[\w:\-]{1,40}\s{1,3}(?:name|key)=[\"']([A-Za-z][\w.\-]{1,60}+)[\"'][^<>]{0,200}>"
            r"([^<>]{1,4096})</",
        ),
    )
)
"""What markup sets secret keys to: words of which a text must have one, and (key, value)."""
NAMED: Final = re.compile(
    r"(?i)\b(?:name|key)\\{0,3}[\"']?\s{0,3}[:=]\s{0,3}\\{0,3}[\"']?([A-Za-z][\w.\-]{1,60}+)"
    r"\\{0,3}[\"']?(?:,\s{0,3}|\s{0,3}\n\s{0,40})\\{0,3}[\"']?value\\{0,3}[\"']?\s{0,3}[:=]\s{0,3}"
    r"\\{0,3}[\"']?([^\s\"'<>,\\}\]][^\"'<>\\\r\n]{0,4096})"
)
"""The name of something and its value, in JSON and YAML: `name: PASSWORD`, then `value: …`."""
_PERCENT = "%(?:25){0,2}"
ENCODED: Final = re.compile(
    r"(?i)([A-Za-z](?:(?<![\w.\-].)|(?<=%(?:26|3F|22|20).)|(?<=%25(?:26|22|3F).))"
    rf"[\w.\-]{{1,60}}+)(?:{_PERCENT}22)?(?:{_PERCENT}20|\+){{0,3}}{_PERCENT}3[AD]"
    rf"(?:{_PERCENT}20|\+){{0,3}}+(?:{_PERCENT}22)?+"
    rf"((?:(?!{_PERCENT}(?:26|22|7D))[^\s&\"'<>,;)\]}}]){{1,4096}})"
)
"""What is set to a secret key in text that is written as in a URL: `password%3D…`."""
ENCODED_USERINFO: Final = re.compile(
    rf"(?i)({_PERCENT}3A(?:{_PERCENT}2F){{2}})"
    rf"(?:(?!{_PERCENT}(?:2F|40))[^\s&\"'<>]){{1,256}}(?={_PERCENT}40)"
)
"""Name and password of a URL that is itself written as in a URL."""
BLOCK: Final = re.compile(
    r"[|>][+\-]?[ \t]{0,8}\r?\n[ \t]{1,40}"
    r"([^\s][^\r\n]{0,4096}(?:\r?\n[ \t]{1,40}[^\s][^\r\n]{0,4096}){0,63})"
)
QUOTED: Final = re.compile(
    rf"{_WRAPPED}(?:[bru]{{1,2}}(?=[\"']))?([\"'])((?:(?!\1)[^\\\n]|\\.){{0,4096}})\1?"
)
ESCAPED: Final = re.compile(r"\\{1,15}([\"'])((?:(?!\1)[^\\\n]){0,4096})\\{0,15}\1?")
LISTED: Final = re.compile(r"\[\s{0,3}([bru]{0,2}\\{0,15}[\"'][^\]\n]{1,4096})")
"""What a list holds, if it begins with something quoted."""
LISTED_BARE: Final = re.compile(r"\[\s{0,3}([^\s\[\]{}()\"'<>][^\[\]{}\"'<>\n]{0,4096})\]")
"""What a list holds that has no quotes, as of headers: `X-Api-Key=[…]`."""
BARE: Final = re.compile(r"(?:[^\s,;&\"')\]}]|,(?=\S)){1,1024}")
BETWEEN: Final = re.compile(r"[^\s;\"'=][^;\"'=\r\n]{0,256}(?=;\s?[A-Za-z][\w ]{1,40}=)")
"""The value of a connection string, which may have blanks: `;Password=…;Database=…`."""
LINE: Final = re.compile(
    r"[^\r\n\"']{1,4096}"
    r"(?:\r?\n[ \t]{1,40}(?:[^\s=;\"']{1,80}=[^\r\n\"']{0,4096}|[^\s\"']{6,4096}(?=\r?\n|$))){0,15}"
)
"""The value of a header, with the lines over which it is folded."""
SENTENCE: Final = re.compile(r"(?i)[a-z]{1,12}[.,;]?$|\d{1,6}$|\[?<?null>?$")
"""The first word after a key if that begins a sentence: "token: expired"."""

HARMLESS: Final = re.compile(
    r"[\d.\-+]{1,20}|\d{4}-\d\d-\d\d[T ][\d:.]{5,18}(?:Z|[+\-]\d\d:?\d\d)?"
    r"|(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)
"""What holds no secret if it is all that a text has: a number, an instant, a UUID."""
SIGNS: Final = re.compile(r"[:=%<&\-]")
"""Signs of which a text must have one if it has neither a word of `WORD_MIN` nor a scheme."""
WORD_MIN: Final = 11
"""Fewest characters without a blank in which a known form or an opaque token may be."""

_INVISIBLE: Final = (
    0xAD,
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
)
_LOOKALIKES: Final = (0x3000, *range(0xFF01, 0xFF5F), *range(0x1D400, 0x1D800))
USUAL: Final = {
    **dict.fromkeys(_INVISIBLE, ""),
    **{
        code: plain
        for code in _LOOKALIKES
        if (plain := unicodedata.normalize("NFKC", chr(code))).isascii()
    },
}
"""Invisible characters, and the usual form of letters and signs of full width or of formulas."""
UNUSUAL: Final = re.compile(f"[{''.join(map(chr, USUAL))}]")
