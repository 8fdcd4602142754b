"""How well recovery understands texts: signatures, families, scrubbing. Needs no server.

    python -m bench.recovery_text

`signature_median_us` is the time for a signature and the classification of a failure that was
scrubbed before, `grouping_accuracy` the share of log lines whose family holds exactly the
lines of their template (families.py), `masks_only_accuracy` the same by masked text alone,
`secrets_removed` the share of secrets in formats that the scrubber has no rule for, and
`plain_words_masked` of the plain words that it took for secrets; `scrub_us_per_kb` is the time for
a kilobyte of a dead letter's body, rows of a list with a log's line in each.
"""

import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from perdure_common.scrub import scrub_json, scrub_text
from perdure_contracts.engine import ErrorFacts
from perdure_recovery.classify import classify
from perdure_recovery.families import families
from perdure_recovery.signature import mask, signature

from bench.recovery_corpus import STYLES, Line, lines
from bench.recovery_secrets import is_removed, samples
from bench.stack import QUICK

LINES: Final = 400 if QUICK else 2_000
"""Lines of each style: as many as LogHub's samples have, fewer for a short look."""
SEED: Final = 20_261_128
ROUNDS: Final = 5 if QUICK else 20


def grouping_accuracy(groups: Mapping[str, str], truth: Mapping[str, str]) -> float:
    """Return the share of lines whose group is exactly that of their template.

    Both name the group of each line; as in Zhu et al. 2019, "Tools and Benchmarks for
    Automated Log Parsing".
    """
    found, wanted = _members(groups), _members(truth)
    right = sum(1 for line in truth if found[groups[line]] == wanted[truth[line]])
    return right / len(truth)


def _members(groups: Mapping[str, str]) -> dict[str, frozenset[str]]:
    members: dict[str, set[str]] = defaultdict(set)
    for line, group in groups.items():
        members[group].add(line)
    return {group: frozenset(each) for group, each in members.items()}


def groups_of(texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the group of each line by its masked text, and by the family of that text."""
    masked = {name: mask(text) for name, text in texts.items()}
    distinct = {text: text for text in masked.values()}
    family = {text: found.template for found in families(distinct) for text in found.members}
    return masked, {name: family[text] for name, text in masked.items()}


def grouped(seed: int = SEED, count: int = LINES) -> dict[str, tuple[float, float]]:
    """Return the grouping accuracy of each style: by family, and by masked text alone."""
    result: dict[str, tuple[float, float]] = {}
    for style in STYLES:
        made = list(lines(style, count, seed))
        truth = {str(n): line.template for n, line in enumerate(made)}
        masked, family = groups_of({str(n): scrub_text(line.text) for n, line in enumerate(made)})
        result[style] = grouping_accuracy(family, truth), grouping_accuracy(masked, truth)
    return result


def secrets_removed(seed: int = SEED) -> tuple[float, dict[str, float]]:
    """Return the share of secrets that is removed, over all and by shape."""
    removed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for sample in samples(seed):
        total[sample.name] += 1
        removed[sample.name] += is_removed(sample, scrub_text(sample.text))
    by_name = {name: removed[name] / total[name] for name in total}
    return sum(removed.values()) / sum(total.values()), by_name


def plain_words_masked(seed: int = SEED, count: int = LINES) -> tuple[float, Counter[str]]:
    """Return the share of plain words that the scrubber masks, and which they were."""
    words = 0
    masked: Counter[str] = Counter()
    for style in STYLES:
        for line in lines(style, count, seed):
            words += len(line.plain)
            masked.update(_lost(line))
    return sum(masked.values()) / words, masked


def _lost(line: Line) -> Iterable[str]:
    left = Counter(scrub_text(line.text).split())
    return (Counter(line.plain) - left).elements()


def failures(seed: int = SEED) -> list[ErrorFacts]:
    """Return failures with the messages of all styles, as they come from the runner."""
    return [
        ErrorFacts(
            type="http_status" if n % 2 else "code_failed",
            message=scrub_text(line.text),
            classes=("builtins.RuntimeError", "builtins.Exception") if n % 3 else (),
            status_code=503 if n % 4 == 1 else None,
            codes=("api_error",) if n % 5 == 0 else (),
            stage="request",
            dependency="http:tickets.example",
        )
        for style in STYLES
        for n, line in enumerate(lines(style, 60, seed))
    ]


def signature_median_us(rounds: int = ROUNDS) -> float:
    """Return the median time of a signature and a classification, in microseconds of CPU.

    Each round has failures of its own: texts that were met before are remembered.
    """
    taken: list[float] = []
    for round_ in range(rounds):
        for error in failures(SEED + round_):
            began = time.perf_counter_ns()
            signature(error)
            classify(error)
            taken.append((time.perf_counter_ns() - began) / 1_000)
    return statistics.median(taken)


def scrub_us_per_kb(rounds: int = ROUNDS) -> float:
    """Return the median time that a kilobyte of a body takes, in microseconds of CPU."""
    texts = [line.text for style in STYLES for line in lines(style, 60, SEED)]
    body = [
        {"id": n, "name": f"order {n}", "at": "2026-11-30T10:00:00Z", "status": "shipped", "log": t}
        for n, t in enumerate(texts)
    ]
    taken: list[float] = []
    for _ in range(rounds):
        began = time.process_time_ns()
        scrub_json(body)
        taken.append((time.process_time_ns() - began) / 1_000)
    return statistics.median(taken) / (len(json.dumps(body)) / 1_024)


def measure() -> dict[str, float]:
    """Return the keys that `make bench NAME=recovery` prints of texts."""
    accuracies: Sequence[tuple[float, float]] = list(grouped().values())
    return {
        "signature_median_us": round(signature_median_us(), 1),
        "grouping_accuracy": round(statistics.mean(family for family, _ in accuracies), 4),
        "masks_only_accuracy": round(statistics.mean(masked for _, masked in accuracies), 4),
        "secrets_removed": round(secrets_removed()[0], 4),
        "plain_words_masked": round(plain_words_masked()[0], 5),
        "scrub_us_per_kb": round(scrub_us_per_kb(), 1),
    }


def main() -> None:
    """Print what each style and each shape of secret gives, then the keys."""
    for style, (family, masked) in grouped().items():
        print(f"{style:<24} families {family:.3f}  masks alone {masked:.3f}")
    _, by_name = secrets_removed()
    for name, share in sorted(by_name.items(), key=lambda each: each[1]):
        if share < 1:
            print(f"{name:<24} {share:.0%} removed")
    for word, times in plain_words_masked()[1].most_common(10):
        print(f"masked {times} times though plain: {word}")
    print(f"RESULT {json.dumps(measure())}")


if __name__ == "__main__":
    main()
