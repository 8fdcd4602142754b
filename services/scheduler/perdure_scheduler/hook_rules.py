"""What a deployment must fulfil so that its triggers can listen here, above all on HTTP. Pure.

Whether another workflow has the path already is decided by the path itself (paths.py).
"""

from collections.abc import Iterable, Mapping

from perdure_contracts.paths import PathClaim
from perdure_contracts.scheduler import DeployedTrigger
from perdure_contracts.topology import TOPICS, physical

from .definition_edges import TRIGGERS
from .hook_settings import PREVIOUS, UNCAPPED, HookCaps, asked_of, methods_of, path_of, secrets_of
from .parameters import Problem


def hook_problems(
    credentials: Mapping[str, tuple[str, ...]],
    triggers: Iterable[DeployedTrigger],
    caps: HookCaps = UNCAPPED,
) -> tuple[Problem, ...]:
    """Return why triggers cannot listen.

    A secret is missing, two have one path, one asks for too much, or for a topic of ours.
    """
    problems: list[Problem] = []
    claimed: dict[str, list[PathClaim]] = {}
    for trigger in triggers:
        problems.extend(_own_topic(caps, trigger))
        path = path_of(trigger.config)
        if path is None:
            continue
        problems.extend(_secret_missing(credentials, trigger))
        problems.extend(_above_caps(caps, trigger))
        claim = _claim(trigger)
        others = claimed.setdefault(path, [])
        taken = next((each for each in others if common_methods(claim, each)), None)
        if taken is not None:
            problems.append(_path_taken(path, claim, taken))
        others.append(claim)
    return tuple(problems)


def claims_of(triggers: Iterable[DeployedTrigger]) -> Mapping[str, tuple[PathClaim, ...]]:
    """Return the paths under which triggers listen, with those that do."""
    found: dict[str, tuple[PathClaim, ...]] = {}
    for trigger in triggers:
        path = path_of(trigger.config)
        if path is not None:
            found[path] = (*found.get(path, ()), _claim(trigger))
    return found


def common_methods(one: PathClaim, other: PathClaim) -> tuple[str, ...]:
    """Return the methods for which two triggers cannot both listen under one path.

    Those of GitHub, and those of Slack, can: each verifies by itself what comes.
    """
    if one.subtype == other.subtype != "WEBHOOK":
        return ()
    return tuple(sorted(set(one.methods) & set(other.methods)))


def _secret_missing(
    credentials: Mapping[str, tuple[str, ...]], trigger: DeployedTrigger
) -> Iterable[Problem]:
    wanted = secrets_of(trigger.config)
    if wanted is None:
        return
    handle, fields = wanted
    there = credentials.get(handle)
    lacking = [name for name in fields if name not in (there or ())]
    if not lacking:
        return
    what = f"has no `{lacking[0]}`" if there is not None else "is not there"
    yield Problem(
        "secret_missing",
        f"node {trigger.node_id!r} ({trigger.subtype}): credential {handle!r} {what}, so requests "
        f"cannot be verified; `perdure credentials set {handle}` with {', '.join(fields)} (and "
        f"{PREVIOUS}… while senders change over), then deploy again",
    )


def own_topics(prefix: str) -> frozenset[str]:
    """Return the topics of an installation that no KAFKA trigger may name, as Kafka has them."""
    return frozenset(physical(each.name, prefix) for each in TOPICS) - {TRIGGERS}


def _own_topic(caps: HookCaps, trigger: DeployedTrigger) -> Iterable[Problem]:
    """Refuse a topic that is one of ours in Kafka: what is read there comes there again."""
    topic = trigger.index_key.partition("/")[0]
    if trigger.subtype == "KAFKA" and topic in own_topics(caps.topic_prefix):
        yield Problem(
            "own_topic",
            f"node {trigger.node_id!r} (KAFKA): `topic` {topic!r} is one of perdure's own in this "
            f"installation; leave it out for {TRIGGERS}, or name a topic of yours",
        )


def _above_caps(caps: HookCaps, trigger: DeployedTrigger) -> Iterable[Problem]:
    for name, most, setting in (
        ("rate_per_minute", caps.rate_of(trigger.config), "PERDURE_HOOKS_PER_MINUTE_CAP"),
        ("body_bytes_max", caps.body_bytes_of(trigger.config), "PERDURE_HOOKS_BYTES_CAP"),
    ):
        asked = asked_of(trigger.config, name)
        if asked is not None and most is not None and asked > most:
            yield Problem(
                "above_cap",
                f"node {trigger.node_id!r} ({trigger.subtype}): `{name}` is {asked:,}, and this "
                f"installation gives at most {most:,}; ask for less, or let its operator raise "
                f"{setting}",
            )


def _claim(trigger: DeployedTrigger) -> PathClaim:
    return PathClaim(
        node_id=trigger.node_id, subtype=trigger.subtype, methods=methods_of(trigger.config)
    )


def _path_taken(path: str, claim: PathClaim, taken: PathClaim) -> Problem:
    return Problem(
        "path_taken",
        f"node {claim.node_id!r} ({claim.subtype}): {', '.join(common_methods(claim, taken))} "
        f"{path} belongs to node {taken.node_id!r} ({taken.subtype}) of this workflow; choose "
        "another path",
    )
