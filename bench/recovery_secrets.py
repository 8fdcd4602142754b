"""Secrets of vendors in their documented shapes, as they turn up in logs and error messages.

None of the shapes has a prefix that the scrubber knows, so it must see from the form or from
what stands before. All values are random and open nothing; a seed makes the same ones.
"""

import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
LOWER = string.ascii_lowercase + string.digits
ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "_-"

SHAPES: dict[str, str] = {
    "adobe client secret": "p8e-{l32}",
    "airtable token": "pat{a14}.{h64}",
    "alibaba access key": "LTAI{a20}",
    "alibaba secret key": "{a30}",
    "algolia key": "{h32}",
    "asana token": "0/{h32}",
    "atlassian token": "ATATT3xFfGF0{u80}",
    "bitbucket app password": "ATBB{a32}",
    "clojars token": "CLOJARS_{l60}",
    "cloudflare token": "{u40}",
    "cloudflare origin key": "v1.0-{h24}-{h146}",
    "confluent secret": "cflt{a60}",
    "contentful token": "{u43}",
    "datadog key": "{l40}",
    "discord bot token": "M{a23}.{u6}.{u27}",
    "doppler token": "dp.pt.{a43}",
    "dropbox token": "sl.{u130}",
    "duffel token": "duffel_live_{u43}",
    "dynatrace token": "dt0c01.{U24}.{U64}",
    "easypost key": "EZAK{a54}",
    "facebook token": "EAAG{a120}",
    "fastly token": "{u32}",
    "flutterwave key": "FLWSECK-{h32}-X",
    "frame.io token": "fio-u-{u64}",
    "grafana service account": "glsa_{a32}_{h8}",
    "gocardless token": "live_{u40}",
    "terraform cloud token": "{a14}.atlasv1.{u60}",
    "infracost key": "ico-{a32}",
    "jfrog key": "AKCp{a69}",
    "lob key": "live_{h35}",
    "mailchimp key": "{h32}-us12",
    "mapbox token": "pk.{a60}.{u22}",
    "mattermost token": "{l26}",
    "messagebird key": "{a25}",
    "netlify token": "nfp_{a36}",
    "new relic key": "NRAK-{U27}",
    "new relic browser key": "NRJS-{h19}",
    "okta token": "00{u40}",
    "notion token": "ntn_{a46}",
    "planetscale token": "pscale_tkn_{u43}",
    "postmark token": "{uuid}",
    "prefect key": "pnu_{l36}",
    "pulumi token": "pul-{h40}",
    "rapidapi key": "{l10}msh{l15}p1{l6}jsn{l12}",
    "readme key": "rdme_{l70}",
    "rubygems key": "rubygems_{h48}",
    "scalingo token": "tk-us-{u48}",
    "sendinblue key": "xkeysib-{h64}-{a16}",
    "sentry token": "sntrys_{u80}",
    "shippo token": "shippo_live_{h40}",
    "square token": "sq0atp-{u22}",
    "square secret": "sq0csp-{u43}",
    "supabase token": "sbp_{h40}",
    "telegram bot token": "{d10}:AA{u33}",
    "twilio key": "SK{h32}",
    "twitch token": "{l30}",
    "typeform token": "tfp_{u59}",
    "vercel token": "{a24}",
    "weights and biases key": "{h40}",
    "yandex key": "AQVN{u36}",
    "zendesk token": "{a40}",
}
"""Shapes by what they are: `{a32}` are 32 letters and digits, `u` URL-safe, `h` hexadecimal."""

KEYED_ONLY = frozenset({"postmark token"})
"""Shapes that look like an identifier: only the key tells that they are secret."""

CONTEXTS: tuple[str, ...] = (
    "401 Unauthorized: the key {secret} was rejected",
    "request failed for {secret} after 3 attempts",
    'called with {{"retries": 3, "value": "{secret}"}}',
    "GET https://api.example.com/v1/items?auth={secret}&page=2 returned 403",
    "connecting as service with {secret}, timeout 30 s",
)
"""Running text in which nothing says that a secret follows."""
KEYED: tuple[str, ...] = (
    "VENDOR_API_KEY={secret} is not valid",
    '{{"vendor_token": "{secret}", "status": 401}}',
    "Authorization: Bearer {secret}",
    "config: client_secret: {secret}",
    "--token {secret} --verbose",
    "https://user:{secret}@db.example.org/app refused the connection",
)
"""Text in which a key, a header or a place says it."""

_SLOT = re.compile(r"\{\w+\}")
_ALPHABETS = {"a": ALNUM, "u": URLSAFE, "h": HEX, "l": LOWER, "U": UPPER, "d": string.digits}


@dataclass(frozen=True, slots=True)
class Sample:
    """A text with a secret in it; `keyed` says that its surroundings tell."""

    name: str
    secret: str
    text: str
    keyed: bool


def samples(seed: int, rounds: int = 2) -> Iterator[Sample]:
    """Return each shape in every context that can tell, so many times."""
    chance = random.Random(seed)
    for _ in range(rounds):
        for name, shape in SHAPES.items():
            for keyed, contexts in ((False, CONTEXTS), (True, KEYED)):
                if not keyed and name in KEYED_ONLY:
                    continue
                for context in contexts:
                    secret = made(shape, chance)
                    yield Sample(name, secret, context.format(secret=secret), keyed)


def made(shape: str, chance: random.Random) -> str:
    """Return a random secret of a shape."""
    parts: list[str] = []
    for piece in shape.split("{"):
        code, closed, rest = piece.partition("}")
        if not closed:
            parts.append(piece)
        elif code == "uuid":
            groups = ("".join(chance.choices(HEX, k=n)) for n in (8, 4, 4, 4, 12))
            parts += ["-".join(groups), rest]
        else:
            parts += ["".join(chance.choices(_ALPHABETS[code[0]], k=int(code[1:]))), rest]
    return "".join(parts)


def is_removed(sample: Sample, scrubbed: str, part_length: int = 8) -> bool:
    """Return whether no part of a secret is left: so many characters of it in a row.

    What every secret of its shape has is none. In a megabyte of ids and hashes eight characters
    of a hexadecimal secret stand once in a hundred times by chance; ask for more there.
    """
    secret, fixed = sample.secret, _SLOT.sub(" ", SHAPES[sample.name])
    return not any(
        part in scrubbed and part not in fixed and part.strip(".") not in fixed
        for part in (
            secret[at : at + part_length] for at in range(max(1, len(secret) - part_length + 1))
        )
    )
