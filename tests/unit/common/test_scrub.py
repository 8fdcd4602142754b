"""Secrets leave; words, numbers and addresses stay."""

import json
import random
import string
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perdure_common.scrub import (
    CUT,
    DEPTH_MAX,
    SECRET,
    TEXT_MAX,
    is_secret_key,
    scrub_json,
    scrub_text,
)

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
HEX, ALNUM = DIGITS + "abcdef", LOWER + UPPER + DIGITS
BASE64, URLSAFE, BASE32 = ALNUM + "+/", ALNUM + "-_", UPPER + "234567"

Make = Callable[[random.Random], str]


def of(alphabet: str, length: int) -> Make:
    return lambda chance: "".join(chance.choices(alphabet, k=length))


def joined(*parts: str | Make) -> Make:
    return lambda chance: "".join(p if isinstance(p, str) else p(chance) for p in parts)


# Each format: the secret, and a sentence in which somebody's program might print it.
FORMATS: dict[str, tuple[Make, str]] = {
    "hex 32 in prose": (of(HEX, 32), "login with {} was refused by the server"),
    "hex 40 in prose": (of(HEX, 40), "cannot use {} here"),
    "hex 64 after a colon": (of(HEX, 64), "adafruit key: {}"),
    "hex upper 32": (of(DIGITS + "ABCDEF", 32), "value {} rejected"),
    "lower and digits 24": (of(LOWER + DIGITS, 24), "beamer said no to {}"),
    "lower and digits 32": (of(LOWER + DIGITS, 32), 'codecov_upload="{}"'),
    "lower and digits 40": (of(LOWER + DIGITS, 40), "url?k={}&page=2"),
    "base 62 of 20": (of(ALNUM, 20), "unauthorised: {}"),
    "base 62 of 22": (of(ALNUM, 22), "contentful > {}"),
    "base 62 of 32": (of(ALNUM, 32), "datadog {} is not active"),
    "base 62 of 43": (of(ALNUM, 43), "sent {} to peer"),
    "base 64 of 40": (of(BASE64, 40), "signing with {} failed"),
    "base 64 of 88": (joined(of(BASE64, 86), "=="), "AccountName=x;AccountKey={};Suffix=core"),
    "url safe of 32": (of(URLSAFE, 32), "the value {} has expired"),
    "url safe of 43": (of(URLSAFE, 43), "finicity refused {}"),
    "base 32 of 32": (of(BASE32, 32), "seed {} imported"),
    "letters of 32": (of(LOWER + UPPER, 32), "used {} again"),
    "uuid by key": (lambda c: _uuid(c), "heroku_api_key={}"),
    "uuid in JSON": (lambda c: _uuid(c), '{{"client_secret": "{}"}}'),
    "word by key": (of(LOWER, 9), "user=root password={} host=db"),
    "word in quotes by key": (of(LOWER, 9), 'db.passwd = "{}"'),
    "symbols by key": (of(ALNUM + "!$%^*#@?", 14), "PGPASSWORD={}"),
    "two words by key": (joined(of(LOWER, 6), " ", of(LOWER, 5)), '{{"passphrase":"{}"}}'),
    "flag": (of(LOWER + DIGITS, 8), "ran: deploy --token {} --region eu"),
    "flag with equals": (of(LOWER + DIGITS, 10), "ran: deploy --api-key={} now"),
    "password in URL": (of(ALNUM, 10), "dial postgres://app:{}@db.internal:5432/shop"),
    "password in URL with IPv6": (of(ALNUM, 10), "dial amqp://app:{}@[2001:db8::7]:5672/"),
    "password in URL with IDN": (of(ALNUM, 10), "GET https://me:{}@bücher.example/käse"),
    "query of a URL": (of(ALNUM, 12), "GET https://api.example/v1?access_token={}&limit=5 401"),
    "bearer header": (of(ALNUM + "-._~", 24), "Authorization: Bearer {}"),
    "bearer in prose": (joined(of(LOWER, 6), of(DIGITS, 5)), "curl -H 'bearer {}' failed"),
    "basic header": (joined(of(BASE64, 22), "=="), "authorization: Basic {}"),
    "cookie header": (of(ALNUM, 26), "Cookie: session={}; theme=dark"),
    "header of its own": (of(ALNUM, 18), "X-Api-Key: {}"),
    "signed token": (
        joined("eyJ", of(URLSAFE, 30), ".", of(URLSAFE, 60), ".", of(URLSAFE, 43)),
        "token {} is expired",
    ),
    "chat bot": (joined("xoxb-", of(DIGITS, 11), "-", of(ALNUM, 24)), "slack refused {}"),
    "cloud id": (joined("AKIA", of(UPPER + DIGITS, 16)), "the user {} may not list"),
    "code host": (joined("ghp_", of(ALNUM, 36)), "remote: {} is bad"),
    "code host, new form": (joined("github_pat_", of(ALNUM + "_", 82)), "push with {}"),
    "other code host": (joined("glpat-", of(URLSAFE, 20)), "clone with {}"),
    "model provider": (joined("sk-ant-api03-", of(URLSAFE, 93), "AA"), "invalid x-api-key {}"),
    "other model provider": (joined("sk-proj-", of(ALNUM, 48)), "Incorrect API key provided: {}."),
    "payments": (joined("sk_live_", of(ALNUM, 24)), "charge by {}"),
    "unknown prefix": (joined("zq1_", of(ALNUM, 36)), "the key {} is revoked"),
    "unknown prefix, dashes": (joined("NRAK-", of(UPPER + DIGITS, 27)), "agent {} offline"),
    "unknown prefix, dots": (joined("dt0c01.", of(UPPER + DIGITS, 24)), "tenant said {} no"),
    "mailer": (joined("SG.", of(URLSAFE, 22), ".", of(URLSAFE, 43)), "mail by {}"),
    "map key": (joined("AIza", of(URLSAFE, 35)), "referer not allowed for {}"),
    "web hook": (
        joined("T", of(UPPER + DIGITS, 8), "/B", of(UPPER + DIGITS, 8), "/", of(ALNUM, 24)),
        "post https://hooks.slack.com/services/{} 404",
    ),
    "private key": (
        joined(of(BASE64, 64), "\n", of(BASE64, 64)),
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY----- unreadable",
    ),
    "nested JSON text": (of(LOWER, 10), '{{"body": "{{\\"api_key\\": \\"{}\\"}}"}}'),
    "environment": (of(URLSAFE, 21), "export SENTRY_AUTH_TOKEN={}"),
    "yaml": (of(URLSAFE, 24), "  secretKey: {}\n  region: eu-west-1"),
    "mapping": (of(ALNUM, 18), "{{'private_key' => '{}'}}"),
}
EACH = 40


def _uuid(chance: random.Random) -> str:
    return "-".join("".join(chance.choices(HEX, k=k)) for k in (8, 4, 4, 4, 12))


PLAIN = Path(__file__).with_name("plain_log_lines.txt").read_text("utf-8").splitlines()


def secrets() -> list[tuple[str, str, str]]:
    """Return (format, secret, sentence) for every format, the same ones each time."""
    made: list[tuple[str, str, str]] = []
    for name, (make, sentence) in FORMATS.items():
        chance = random.Random(f"scrub {name}")
        for _ in range(EACH):
            secret = make(chance)
            made.append((name, secret, sentence.format(secret)))
    return made


def leaked(secret: str, text: str) -> bool:
    """Tell whether a third of the secret or more can still be read in one piece."""
    piece = max(6, len(secret) // 3)
    return any(secret[i : i + piece] in text for i in range(len(secret) - piece + 1))


def test_at_least_nine_of_ten_secrets_of_any_format_are_removed() -> None:
    kept: dict[str, int] = {}
    for name, secret, sentence in secrets():
        kept[name] = kept.get(name, 0) + leaked(secret, scrub_text(sentence))
    assert len(FORMATS) >= 40
    assert sum(kept.values()) <= 0.1 * EACH * len(FORMATS), kept
    assert max(kept.values()) <= 0.4 * EACH, kept


def test_fewer_than_one_in_two_hundred_plain_words_are_masked() -> None:
    words = [word for line in PLAIN for word in line.split()]
    masked = [
        (before, after)
        for line in PLAIN
        for before, after in zip(line.split(), scrub_text(line).split(), strict=True)
        if before != after
    ]
    assert len(words) > 600
    assert len(masked) < 0.005 * len(words), masked


@pytest.mark.parametrize(
    "text",
    [
        "http://[2001:db8::1]:8080/a?b=c",
        "https://bücher.example/straße?größe=5",
        "fe80::1%eth0, ::1 and 2001:db8:0:0:1::1",
        "xn--80aswg0a6bzcf1b.xn--p1ai answered",
        "mail to somebody@example.org",
        "",
        "short",
    ],
)
def test_addresses_in_any_script_stay_as_they_are(text: str) -> None:
    assert scrub_text(text) == text


def test_the_rest_of_a_sentence_stays_readable() -> None:
    text = "dial postgres://app:hunter2@db:5432/shop: password=hunter2, retry in 3 s"
    assert scrub_text(text) == (
        f"dial postgres://{SECRET}@db:5432/shop: password={SECRET}, retry in 3 s"
    )


def test_values_under_secret_keys_leave_whatever_they_look_like() -> None:
    scrubbed = scrub_json(
        {
            "user": "ann",
            "password": "a",
            "headers": {"Authorization": "x", "Set-Cookie": ["a=b", "c=d"]},
            "credentials": {"login": "ann", "pin": 1234, "active": True},
            "usage": {"max_tokens": 4096, "total_token": 3, "tokens": 17},
            "sha256": "9c7a54a9a43cca047013b82af109fe963fde787f63f9e016fdc3384500c2823d",
            "api_key": None,
        }
    )
    assert scrubbed == {
        "user": "ann",
        "password": SECRET,
        "headers": {"Authorization": SECRET, "Set-Cookie": [SECRET, SECRET]},
        "credentials": {"login": SECRET, "pin": SECRET, "active": True},
        "usage": {"max_tokens": 4096, "total_token": 3, "tokens": 17},
        "sha256": "9c7a54a9a43cca047013b82af109fe963fde787f63f9e016fdc3384500c2823d",
        "api_key": None,
    }


def test_texts_inside_json_are_scrubbed_as_texts() -> None:
    (scrubbed,) = scrub_json([{"error": "bearer abc123def456 refused"}])
    assert scrubbed == {"error": f"bearer {SECRET} refused"}


@pytest.mark.parametrize(
    "key", ["password", "X-API-Key", "accessToken", "db.passwd", "clientSecret"]
)
def test_keys_of_any_spelling_are_known_as_secret(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key", ["tokens", "max_tokens", "prompt_token", "keyboard", "author", "node_id"]
)
def test_keys_that_only_sound_secret_are_not(key: str) -> None:
    assert not is_secret_key(key)


def test_what_is_too_long_or_too_deep_is_cut_off() -> None:
    long = scrub_text("word " * TEXT_MAX)
    assert long.endswith(CUT)
    assert len(long) <= TEXT_MAX + len(CUT)
    deep: Any = "end"
    for _ in range(DEPTH_MAX + 5):
        deep = [deep]
    assert CUT in json.dumps(scrub_json(deep))


@pytest.mark.parametrize(
    "piece",
    ["eyJ-", "a.", "-----BEGIN RSA PRIVATE KEY", "password=", "://a:", '"', "sk-", "://a:b/",
     "curl -u a:", "docker login -p ", "'authorization','a", "Cookie: \n a=", "%3A%2F%2Fa",
     "AKIAIOSFODNN7EXAMPLE ", ";password=a", "a:@tcp(", "{'password':[", "password={"],
)  # fmt: skip
def test_hostile_repetitions_end(piece: str) -> None:
    assert scrub_text(piece * (TEXT_MAX // len(piece))) is not None


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.sampled_from([s for _, _, s in secrets()]))
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    once = scrub_text(text)
    assert scrub_text(once) == once


@settings(deadline=None)
@given(st.text(alphabet="äöüßéñ漢字кириллица€ .,", max_size=100))
def test_letters_of_other_scripts_stay(text: str) -> None:
    assert scrub_text(text) == text


OUTSIDE: dict[str, str] = {
    "an element": "<soap:password type='text'>{}</soap:password>",
    "an attribute beside its name": '<input type="hidden" name="api_key" value="{}"/>',
    "a field of a form": 'Content-Disposition: form-data; name="password"\r\n\r\n{}\r\n--b--',
    "JSON in a page": "{{&quot;password&quot;: &quot;{}&quot;, &quot;n&quot;: 1}}",
    "a block in YAML": "kind: Secret\npassword: |\n  {}\nname: db",
    "far from its key": "password               = {}",
    "a query in a query": "GET /login?next=%2Fa%3Fuser%3Dbob%26password%3D{}%26page%3D2 was 403",
    "a query in a query in a query": "next=a%253Fuser%253Dbob%2526password%253D{}%2526page%253D2",
    "JSON in a URL": "q=%7B%22password%22%3A%20%22{}%22%2C%20%22n%22%3A%201%7D",
    "JSON in JSON in JSON": json.dumps(json.dumps(json.dumps({"password": "{}", "n": 1})))
    .replace("{", "{{")
    .replace("}", "}}")
    .replace("{{}}", "{}"),
    "bytes of Python": "{{b'password': b'{}', b'n': 1}}",
}
"""What stands around a secret that is a word like any other: only its key gives it away."""


def wide(text: str, by: int = 0xFEE0) -> str:
    """Return `text` in letters and signs of full width, as people in East Asia may type them."""
    return "".join(chr(ord(char) + by) for char in text)


WORD_ON_A_LINE: dict[str, str] = {
    "letters of full width": wide("password") + "={}",
    "signs of full width": "login failed: password" + wide("=") + "{}",
    "letters of formulas": wide("password", 0x1D3B9) + "={}",
    "invisible characters": "pass\u200bword={}",
    "mysql": "mysql -uroot -p{} shop",
    "mysqldump, quoted": "$ mysqldump -h db -u root -p'{} staple' shop > x.sql",
    "arguments of mysql": "['mysql', '-uroot', '-p{}', 'db']",
    "curl": "curl -sSu ann:{} https://x.example",
    "curl, glued": "curl -uann:{} https://x.example",
    "curl, long": "curl --user ann:{} https://x.example",
    "curl, quoted": "curl --user='ann:{} staple' https://x.example",
    "curl, a proxy": "curl --proxy-user ann:{} https://x.example",
    "curl, over lines": "curl \\\n  -u ann:{} \\\n  https://x.example",
    "arguments of curl": "['curl', '-u', 'ann:{}', 'https://x']",
    "curl in JSON": '{{"cmd": "curl -u \\"ann:{} staple\\" https://x"}}',
    "sshpass": "sshpass -p {} ssh root@host",
    "sshpass, glued and quoted": "sshpass -p'{} staple' ssh root@host",
    "docker": "docker login -u ann -p {} registry.example",
    "arguments of docker": '["docker", "login", "-p", "{}"]',
    "helm": "helm registry login -u ann -p {}",
    "mongosh": "mongosh -u ann -p {}",
    "redis-cli": "redis-cli -h x -a {} ping",
    "ldapsearch": "ldapsearch -D cn=x -w {} -b y",
    "openssl": "openssl rsa -passin pass:{} -in x",
    "smbclient": "smbclient //h/s -U ann%{}",
    "the environment of psql": "PGPASSWORD='{} staple' psql -h db",
    "arguments with a flag": "['tool', '--token', '{}']",
    "a flag, quoted": 'tool --password "{} staple" --verbose',
    "a cookie over lines": "Cookie: a=b;\r\n theme={}; sid=staple\r\nHost: x",
    "a cookie over lines, by tabs": "Set-Cookie: a=b;\n\tsid={}\nHost: x",
    "a header in a tuple": "[('Authorization', 'Bearer {}'), ('n', '1')]",
    "a header in a tuple of bytes": "[(b'Authorization', b'Bearer {}')]",
    "a header in a list in JSON": '{{"h": "[\\"Authorization\\", \\"Bearer {}\\"]"}}',
    "a header in a dict": "{{'Authorization': 'token {}', 'n': 1}}",
    "a header of more values": "{{'authorization': ['Bearer {}']}}",
    "a header of a command": "curl -H 'Authorization: Bearer {}' https://x.example",
    "a list": '{{"password": ["{}", "staple"], "n": 1}}',
    "a connection string": "Server=db;User Id=sa;Password={} staple;Database=x",
    "a URL with % in it": "postgresql://app:p%40{}%2Fstaple@db/shop",
    "a URL with @ in it": "postgresql://app:p@{}@db/shop",
    "a URL with / in it": "postgresql://app:p/{}@db/shop",
    "a URL in a URL": "next=postgresql%3A%2F%2Fapp%3A{}%40db%2Fshop",
    "a URL in a URL in a URL": "next=postgresql%253A%252F%252Fapp%253A{}%2540db",
    "a source name": "root:{}@tcp(127.0.0.1:3306)/shop",
    "a private key in one line": (
        "-----BEGIN RSA PRIVATE KEY-----\\nMII{}\\nstaple\\n-----END RSA PRIVATE KEY-----\\n"
    ),
}
"""A word that only a command, a header or an address tells to be secret; `staple` is part of it."""


@pytest.mark.parametrize("name", WORD_ON_A_LINE)
def test_a_word_is_secret_by_what_it_is_given_to(name: str) -> None:
    scrubbed = scrub_text(WORD_ON_A_LINE[name].format("correcthorsebattery"))
    assert "correcthorse" not in scrubbed
    assert "staple" not in scrubbed
    assert SECRET in scrubbed
    assert scrub_text(scrubbed) == scrubbed


@pytest.mark.parametrize("around", ["{} {}", "{},{}", "{}:{}", "id {}, and beside it {} in a file"])
def test_a_clouds_key_goes_with_its_id_though_it_has_words_in_it(around: str) -> None:
    secret = "/".join(("wJalrXUtnFEMI", "K7MDENG", "bPxRfiCYEXAMPLEKEY"))
    scrubbed = scrub_text(around.format("AKIA" + "IOSFODNN7EXAMPLE", secret))
    assert scrubbed == around.format(SECRET, SECRET)


def test_a_clouds_key_goes_by_itself_whatever_slashes_cut_it_into() -> None:
    chance = random.Random("forty")
    for _ in range(200):
        parts = (of(ALNUM, 12)(chance), of(ALNUM, 13)(chance), of(ALNUM, 13)(chance))
        assert scrub_text(f"signed with {'/'.join(parts)} today") == f"signed with {SECRET} today"


@pytest.mark.parametrize(
    "text",
    [
        "docker run -p 8080:80 -u 1000:1000 shop",
        "mysql -P 3306 -p shop",
        "curl -u ann https://x.example -x http://proxy.example:3128",
        "kubectl login was refused, use -p with a port",
        "allowed headers: ['Authorization', 'Content-Type'], ['cookie', 'x-api-key']",
        "pull http://registry.example:5000/shop@sha256 and http://[2001:db8::7]:80/a@b",
        wide("error:not") + "\u3000" + wide("found"),
        "the cookie: missing\n  at load (a.js:12)",
        "loc: ('body', 'password'), ('query', 'page')",
        "git clone git@host.example:shop/orders.git",
    ],
)
def test_what_only_sounds_like_a_secret_stays(text: str) -> None:
    assert scrub_text(text).replace(f"//{SECRET}@", "//") == text


def test_names_and_values_beside_each_other_are_known_in_json() -> None:
    scrubbed = scrub_json(
        {
            "env": [{"name": "PGPASSWORD", "value": "a"}, {"name": "PGHOST", "value": "db"}],
            "raw": ["Host", "x", "Authorization", "Bearer correcthorse", "Accept", "b"],
            "pairs": [["cookie", "a=b"], ["page", "a=b"]],
            wide("password"): "a",
            "allowed": ["authorization", "cookie", "host"],
        }
    )
    assert scrubbed == {
        "env": [{"name": "PGPASSWORD", "value": SECRET}, {"name": "PGHOST", "value": "db"}],
        "raw": ["Host", "x", "Authorization", SECRET, "Accept", "b"],
        "pairs": [["cookie", SECRET], ["page", "a=b"]],
        wide("password"): SECRET,
        "allowed": ["authorization", "cookie", "host"],
    }


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions are called meanwhile: work, whatever the machine's speed."""
    count = 0

    def one(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(one)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def orders(count: int) -> Any:
    return [
        {"id": i, "name": f"order {i}", "status": "shipped", "at": "2026-11-30T10:00:00.000Z"}
        for i in range(count)
    ]


def test_a_large_document_is_work_for_each_value_and_little_for_plain_ones() -> None:
    few, many = (calls_of(partial(scrub_json, orders(count))) for count in (100, 1_000))
    assert many <= 10.2 * few
    assert many <= 90 * 1_000  # four values in each; 125 while each was looked at from all sides


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_word_is_secret_by_its_key_whatever_it_is_written_in(name: str) -> None:
    text = OUTSIDE[name].format("correcthorsebattery")
    scrubbed = scrub_text(text)
    assert "correcthorse" not in scrubbed
    assert SECRET in scrubbed
    assert scrub_text(scrubbed) == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "<title>403 Forbidden</title><p>your token has expired</p>",
        "the key <secret> was refused, and <secret> as well",
        '<input name="page" value="2"/>',
        "next=%2Forders%3Fpage%3D2%26size%3D50",
        "{&quot;page&quot;: &quot;two&quot;}",
        "name: |\n  orders\nkind: Service",
    ],
)
def test_what_is_under_no_secret_key_stays_whatever_it_is_written_in(text: str) -> None:
    assert scrub_text(text) == text
