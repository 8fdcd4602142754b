"""Secrets that a sentence tells: "the password is …", "password: …", and words that are none.

Whether a plain word after `password` is one or says how it is ("the password is wrong") shows
from the word alone. What may say so is listed, by word and by ending, in the languages in which
servers speak most; what is listed nowhere, and ends its clause, is taken for the secret itself.
"""

import re
from typing import Final

from .scrub_forms import SECRET

STEMS: Final = (
    *("pass", "pwd", "kennwort", "senha", "contrase", "wachtwoord", "heslo", "token", "secret"),
    *("identified", " key", "hasło", "lösenord", "пароль"),
)
"""What a text has, in small letters, if a sentence in it may tell a secret."""

WORDS_MAX: Final = 6
"""Most words of what is taken for a passphrase."""

_BEGIN: Final = r"[AaCcHhKkLlMmPpSsTtWwПп](?<!\w.)"
_WORDS: Final = (  # behind their first letters: to search for one of these is a plain scan
    r"(?<=p)ass(?:[ -]?(?:word|phrase|code)|wort)|(?<=p)wd|(?<=k)ennwort|(?<=m)ot de passe"
    r"|(?<=c)ontraseña|(?<=s)enha|(?<=w)achtwoord|(?<=h)eslo|(?<=h)asło|(?<=l)ösenord|(?<=п)ароль"
)
_THINGS: Final = (
    r"(?:(?<=a)pi|(?<=a)ccess|(?<=s)ecret|(?<=a)ccount|(?<=l)icense)[ -]key"
    r"|(?<=t)oken|(?<=s)ecret"
)
_IS: Final = (
    r"\s{1,3}(?:(?:(?:is|was|has been) )?(?:set|reset|changed|updated) to"
    r"|is|was|ist|war|lautet|lautete|est|était|es|era|fue|è|é|jest|je|är)(?:\s?:)?\s{1,3}"
)
_QUOTED: Final = r"(?:(?!(?P=quote))[^\n]){1,256}"
_SAID: Final = re.compile(
    rf"(?P<lead>{_BEGIN}(?i:(?P<word>{_WORDS})|{_THINGS})(?P<how>(?i:{_IS})"
    r"|\s{0,3}[=:]\s{0,3}|\s{1,3}(?=\\{0,3}[\"'`]))"
    rf"(?P<quote>\\{{0,3}}[\"'`])?)(?P<value>(?(quote){_QUOTED}|[^\s\"'`,;<>()\[\]{{}}]{{2,256}}))"
)
_SQL: Final = re.compile(
    r"(?i)(?P<lead>(?<!\w)identified\s{1,3}(?:with\s{1,3}[\w\"'`]{1,64}\s{1,3})?by\s{1,3}[\"'])"
    r"[^\"'\n]{1,256}"
)
_NETRC: Final = re.compile(
    r"(?P<lead>(?<!\w)login\s{1,8}[^\s<>]{1,128}\s{1,8}password\s{1,8})[^\s<>]{1,256}"
)

_STATED: Final = (
    "a an the this that your our my their its no not none null nil undefined nan "
    "unset empty blank absent missing invalid valid bad good wrong right ok okay fine "
    "correct incorrect unknown known weak strong short long old new stale same "
    "different default true false yes on off up out here there required mandatory "
    "plain plaintext cleartext secure insecure unsafe safe too very set reset kept "
    "sent lost held read made given shown hidden taken broken written chosen found "
    "built put done gone left hash hashed opaque public private secret masked "
    "redacted hex str string text char varchar bytes int integer bool boolean float "
    "any object optional field value only also now still already again never always "
    "yours mine ours nobody must should can cannot may might will would could has "
    "have had does did do is are was were be mismatch mismatched unavailable inactive "
    "active dead gesperrt falsch richtig leer kurz lang zu nicht kein keine "
    "abgelaufen schwach bekannt unbekannt nötig fehlt faux vide requis trop manquant "
    "incorrecta incorrecto corta larga vazia incorreta onjuist leeg verlopen błędne "
    "nieprawidłowe неверный неверен пустой истёк "
)
_STATES: Final = frozenset(_STATED.split())
_ENDINGS: Final = re.compile(
    r"(?:ed|ing|able|ible|ive|al|ent|ant|less|ory|ary|ous|lid|ful|lich|ig|iert|rekt|é|ée|ide"
    r"|aire|oire|ida|ido|ada|ado|oria|orio)$"
)
_WORD: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)?")
_TECHNICAL: Final = re.compile(
    r"(?i)(?:utf|sha|md|base|x|oauth|ipv|rs|hs|es|aes|rsa)-?\d[\w.\-]{0,12}$|v\d[\d.]*$"
    r"|(?:level|step|line|column|type)\d{1,5}$|\d[\d.,]*(?:[a-z%]{1,3}|bits?|bytes?|chars?|days?)$"
)
_CLAUSE_END: Final = re.compile(
    r"[.!?]{1,3}\s|[.!?:]{0,3}(?:[\"'`,;<\\]|\s{0,3}(?:$|[\n)\]}]))"
    r"|\s{1,3}(?:and|but|by|for|und|für|et|pour|y|para|e)\s"
    r"|\s{1,3}[A-Za-z][\w.\-]{0,40}\s?[=:]"
)


def without_said(text: str) -> str:
    """Return `text` without the secrets that sentences, SQL and .netrc tell."""
    return _NETRC.sub(_masked, _SQL.sub(_masked, _SAID.sub(_masked_said, text)))


def is_state(word: str) -> bool:
    """Tell whether a word says how a secret is ("wrong"), rather than what."""
    low = word.lower().strip(".,;:!?<>[]\"'")
    return low in _STATES or (_WORD.fullmatch(low) is not None and _ENDINGS.search(low) is not None)


def ends_clause(text: str, at: int) -> bool:
    """Tell whether nothing of a sentence follows in `text` from `at` on, or another key does."""
    return _CLAUSE_END.match(text, at) is not None


def _masked(match: re.Match[str]) -> str:
    return match["lead"] + SECRET


def _masked_said(match: re.Match[str]) -> str:
    value, quote = match["value"], match["quote"]
    if value.count(" ") >= WORDS_MAX:
        return match[0]  # a sentence in quotes
    if quote is None:
        value = value.rstrip(".!?:")
    if match["word"] is not None:
        told = quote is not None or _is_alone(match, value) or _is_made(value)
    else:  # "unexpected token 'a1'"
        told = not match["how"].isspace() and _is_made(value)
    if not told or not value or value == SECRET or is_state(value):
        return match[0]
    return match["lead"] + SECRET + match[0][len(match["lead"]) + len(value) :]


def _is_alone(match: re.Match[str], value: str) -> bool:
    """Tell whether a word, or a number of some length, is all that is said."""
    if not ends_clause(match.string, match.start("value") + len(value)):
        return False
    return value.isalpha() or (value.isdecimal() and len(value) >= 4)


def _is_made(value: str) -> bool:
    """Tell whether what is said is made of letters and of digits or signs, as no word is."""
    mixed = re.search(r"[^\W\d_]", value) and re.search(r"[\d!@#$%^&*+]", value)
    return mixed is not None and len(value) >= 5 and not _TECHNICAL.match(value)
