"""Other people's HTTP servers: throttled, down, slow, broken off, closed to us."""

from definitions_for_tests import Definition, chain, node, request

from laboratory import canary
from laboratory.outside import Server, closed_port, fine, half, plain, silence, status
from laboratory.scenario import Case, Expected, Scenario, cured, told

SHOP = "shop"


def _post(case: Case) -> Definition:
    """Post with an idempotency key: it may be tried again whatever became of it."""
    return chain(case.mark, request("post", case.url(SHOP, "/orders"), json={"n": 1}, timeout_s=2))


def _unkeyed(case: Case) -> Definition:
    """Post without a key: nobody can tell whether it happened."""
    given = {"method": "POST", "url": case.url(SHOP, "/orders"), "json": {"n": 1}, "timeout_s": 2}
    return chain(case.mark, node("post", "EXTERNAL_ACTION.HTTP_REQUEST", **given))


async def _nobody_listens(case: Case) -> None:
    shop = case.servers[SHOP]
    await shop.end()
    shop.port = await closed_port(case.host)


async def _opens_again(case: Case) -> None:
    """Let the server come back, at the same place, once the first call has failed."""
    await case.until_decided(1)
    old = case.servers[SHOP]
    again = Server([fine()], case.host)
    await again.begin(old.port)
    case.servers[SHOP] = again


async def _same_key_each_time(case: Case) -> None:
    keys = case.servers[SHOP].keys
    assert len(set(keys)) == 1 and keys[0], f"an attempt had another key: {keys}"


def _unknown_host(case: Case) -> Definition:
    url = f"http://{case.mark}.no-such-host.invalid/orders"
    return chain(case.mark, request("post", url, timeout_s=10))


CAPPED = Expected("ERROR", ["dependency_down"] * 4, ["backoff"] * 4, "refused:caps", {SHOP: 4})
LEARNT = Expected(
    "ERROR",
    ["dependency_down"] * 4,
    ["backoff", "backoff", "backoff", "escalate_human"],
    "escalated",
    {SHOP: 4},
)
"""By the fourth failure recovery may have learnt that it lasts."""

THROTTLED = {"error": {"message": "You have exceeded a secondary rate limit. Please wait."}}
EXPIRED = {"error": {"code": "token_expired", "message": f"expired, {canary.TOKEN.text}"}}
SCOPE = {"error": {"code": "insufficient_scope", "message": "the token may not do this"}}
WRONG = {"error": {"message": f"n must be above 10; {canary.PASSWORD.text}"}}
VERSION = {"error": {"message": "version conflict: the order was modified by another"}}

SCENARIOS = (
    Scenario(
        "a server answers 503 twice",
        "http",
        _post,
        [cured("dependency_down", "backoff", "backoff", calls={SHOP: 3})],
        {SHOP: [status(503), status(503), fine()]},
        after=_same_key_each_time,
    ),
    Scenario(
        "a server is down for good",
        "http",
        _post,
        [CAPPED, LEARNT],
        {SHOP: [status(502)]},
        after=_same_key_each_time,
    ),
    Scenario(
        "a server says 429 and when to come back",
        "http",
        _post,
        [cured("rate_limit", "backoff", calls={SHOP: 2})],
        {SHOP: [status(429, more="retry-after: 2\r\n"), fine()]},
        after=_same_key_each_time,
    ),
    Scenario(
        "a server says 429 and no more",
        "http",
        _post,
        [cured("rate_limit", "backoff", calls={SHOP: 2})],
        {SHOP: [status(429), fine()]},
    ),
    Scenario(
        "a limit is told as 403, with words only",
        "http",
        _post,
        [cured("rate_limit", "backoff", calls={SHOP: 2})],
        {SHOP: [status(403, THROTTLED), fine()]},
    ),
    Scenario(
        "an answer does not come in time",
        "http",
        _post,
        [cured("timeout", "backoff", calls={SHOP: 2})],
        {SHOP: [silence(), fine()]},
        after=_same_key_each_time,
    ),
    Scenario(
        "a connection breaks off in the middle of an answer",
        "http",
        _post,
        [cured("network", "retry_now", calls={SHOP: 2})],
        {SHOP: [half(), fine()]},
        after=_same_key_each_time,
    ),
    Scenario(
        "nobody listens for a moment",
        "http",
        _post,
        [cured("network", "retry_now"), cured("network", "retry_now", "backoff")],
        {SHOP: [fine()]},
        before=_nobody_listens,
        during=_opens_again,
    ),
    Scenario(
        "nobody listens for a moment, and the post has no key",
        "http",
        _unkeyed,
        [cured("network", "retry_now"), cured("network", "retry_now", "backoff")],
        {SHOP: [fine()]},
        before=_nobody_listens,
        during=_opens_again,
    ),
    Scenario(
        "a post without a key is refused by a limit",
        "http",
        _unkeyed,
        [cured("rate_limit", "backoff", calls={SHOP: 2})],
        {SHOP: [status(429, more="retry-after: 1\r\n"), fine()]},
    ),
    Scenario(
        "a post without a key may have happened",
        "http",
        _unkeyed,
        [Expected("ERROR", ["dependency_down"], ["backoff"], "refused:effect", {SHOP: 1})],
        {SHOP: [status(503), fine()]},
    ),
    Scenario(
        "a post without a key is cut off after it left",
        "http",
        _unkeyed,
        [Expected("ERROR", ["network"], ["retry_now"], "refused:effect", {SHOP: 1})],
        {SHOP: [half(), fine()]},
    ),
    Scenario(
        "nobody has signed a server's certificate",
        "http",
        _post,
        [told("auth", {SHOP: 0})],
        {SHOP: [fine()]},
        tls=(SHOP,),
    ),
    Scenario(
        "a host has no address",
        "http",
        _unknown_host,
        [
            told("data_missing"),
            Expected(  # where no name server answers, nobody can tell that the host is not there
                "ERROR",
                ["network"] * 4,
                ["retry_now", "backoff", "backoff", "backoff"],
                "refused:caps",
            ),
        ],
    ),
    Scenario(
        "a token has expired",
        "http",
        _post,
        [told("auth", {SHOP: 1})],
        {SHOP: [status(401, EXPIRED)]},
    ),
    Scenario(
        "a token may not do what is asked",
        "http",
        _post,
        [told("permission", {SHOP: 1})],
        {SHOP: [status(403, SCOPE)]},
    ),
    Scenario(
        "what is asked for is not there",
        "http",
        _post,
        [told("data_missing", {SHOP: 1})],
        {SHOP: [status(404)]},
    ),
    Scenario(
        "what is sent is refused as wrong",
        "http",
        _post,
        [told("validation", {SHOP: 1})],
        {SHOP: [status(422, WRONG)]},
    ),
    Scenario(
        "an account has no money left",
        "http",
        _post,
        [told("quota_exhausted", {SHOP: 1})],
        {SHOP: [status(402)]},
    ),
    Scenario(
        "somebody else changed the same thing",
        "http",
        _post,
        [cured("conflict", "retry_now", calls={SHOP: 2})],
        {SHOP: [status(409, VERSION), fine()]},
    ),
    Scenario(
        "an answer is no JSON, once",
        "http",
        _post,
        [cured("output_invalid", "retry_now", calls={SHOP: 2})],
        {SHOP: [plain(b'{"fine": tru'), fine()]},
        after=_same_key_each_time,
    ),
)
