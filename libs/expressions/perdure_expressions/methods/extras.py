"""Methods beside JavaScript's that n8n has too: short words for what is often needed."""

import re
from typing import Final

from perdure_expressions.errors import ExpressionError
from perdure_expressions.limits import Frame, Value, kind_of
from perdure_expressions.methods.arrays import total
from perdure_expressions.methods.maths import math_max, math_min
from perdure_expressions.operators import divide
from perdure_expressions.registry import Arguments, argument, method
from perdure_expressions.values import double, number, to_integer, to_number, to_text, truthy

_EMAIL: Final = re.compile(r"[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+)++", re.ASCII)
_FALSE: Final = frozenset({"false", "no", "off", "0", ""})


@method("isNotEmpty", str, list, dict)
def is_not_empty(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Whether there is anything in it."""
    return bool(this)


@method("average", list)
def average(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The mean of the elements as numbers; NaN without any."""
    return divide(f, total(f, this, arguments), len(this))


@method("min", list)
def least(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The smallest element, as Math.min."""
    return math_min(f, None, this)


@method("max", list)
def greatest(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The largest element, as Math.max."""
    return math_max(f, None, this)


@method("chunk", list)
def chunk(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Arrays of so many elements each, the last one of what is left."""
    size = to_integer(f, argument(arguments, 0))
    if size < 1:
        raise ExpressionError("expression_range", "chunk() needs a size of 1 or more.")
    f.array(len(this))
    made: list[Value] = []
    for place in range(0, len(this), size):
        f.array(2)
        made.append(this[place : place + size])
    return made


@method("round", int, float)
def rounded(f: Frame, this: Value, arguments: Arguments) -> Value:
    """To so many decimals, none by default; halves go up."""
    f.spend(10)
    places = max(0, min(15, to_integer(f, argument(arguments, 0))))
    scaled = double(this) * 10.0**places
    if abs(scaled) >= 2**53 or scaled != scaled:
        return this
    low = scaled // 1
    return number((low + 1 if scaled - low >= 0.5 else low) / 10.0**places)


@method("isEven", int, float)
def is_even(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Whether it is a whole number that two divides."""
    return this % 2 == 0


@method("isOdd", int, float)
def is_odd(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Whether it is a whole number that two does not divide."""
    return this % 2 == 1


@method("keys", dict)
def keys(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The keys in their order, as Object.keys."""
    f.array(len(this))
    return list(this)


@method("values", dict)
def values(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The values in their keys' order, as Object.values."""
    f.array(len(this))
    return list(this.values())


@method("merge", dict)
def merge(f: Frame, this: Value, arguments: Arguments) -> Value:
    """With the entries of another object that it does not have itself."""
    other = argument(arguments, 0)
    if kind_of(other) is not dict:
        raise ExpressionError("expression_type", "merge() needs an object: add ?? {}.")
    f.object(len(this) + len(other))
    return {**this, **{key: each for key, each in other.items() if key not in this}}


@method("removeField", dict)
def remove_field(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Without a key."""
    name = to_text(f, argument(arguments, 0))
    f.object(len(this))
    return {key: each for key, each in this.items() if key != name}


@method("compact", dict)
def compact(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Without the keys of null and ''."""
    f.object(len(this))
    return {key: each for key, each in this.items() if each is not None and each != ""}


@method("toSentenceCase", str)
def to_sentence_case(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """With a large first letter, the others small."""
    f.text(3 * len(this), this.isascii())
    f.spend(0 if this.isascii() else len(this) >> 2)
    return this[:1].upper() + this[1:].lower()


@method("toBoolean", str, int, float, bool)
def to_boolean(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """False for 'false', 'no', 'off', '0', '' and 0; else true."""
    return this.lower() not in _FALSE if isinstance(this, str) and len(this) < 6 else truthy(this)


@method("toInt", str, int, float)
def to_int(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """As a number without its decimals; NaN for what is no number."""
    amount = to_number(f, this)
    return amount if amount != amount or abs(amount) == float("inf") else number(float(int(amount)))


@method("isEmail", str)
def is_email(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Whether it has the form of a mail address."""
    f.spend(20)
    return len(this) < 320 and _EMAIL.fullmatch(this) is not None


@method("extractDomain", str)
def extract_domain(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The host of a URL or the domain of a mail address."""
    f.scan(this)
    f.text(2 * len(this), this.isascii())
    rest = this.partition("://")[2] or this
    host = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return host.partition(":")[0]
