"""Methods of arrays. None changes an array: sort and reverse give a new one."""

from functools import cmp_to_key
from typing import Final

from perdure_expressions.errors import ExpressionError
from perdure_expressions.limits import DATA_DEPTH_MAX, LIST_BYTES, Frame, Value, kind_of
from perdure_expressions.methods.strings import clamped, relative
from perdure_expressions.operators import add
from perdure_expressions.registry import Arguments, argument, callback, method
from perdure_expressions.values import (
    join,
    order_key,
    same,
    to_integer,
    to_number,
    to_text,
    truthy,
)

_SEEN_BYTES: Final = 200
"""For the key and the place of one element that was seen."""
_COMPARE_COST: Final = 4
"""Units for one comparison, besides the function."""
_SORT_COST: Final = 8
"""Units for each element that is sorted by text, besides its characters."""


@method("map", list, callback=0)
def map_array(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The function's value for each element."""
    each = callback("map", arguments)
    f.array(len(this))
    return [each(value, place, this) for place, value in enumerate(this)]


@method("filter", list, callback=0)
def filter_array(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The elements for which the function holds."""
    holds = callback("filter", arguments)
    f.array(len(this))
    return [value for place, value in enumerate(this) if truthy(holds(value, place, this))]


@method("some", list, callback=0)
def some(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether the function holds for any element."""
    holds = callback("some", arguments)
    return any(truthy(holds(value, place, this)) for place, value in enumerate(this))


@method("every", list, callback=0)
def every(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether the function holds for all elements."""
    holds = callback("every", arguments)
    return all(truthy(holds(value, place, this)) for place, value in enumerate(this))


def _found(this: list[Value], name: str, arguments: Arguments, places: range) -> int:
    """The first of the places whose element passes, -1 without one."""
    holds = callback(name, arguments)
    for place in places:
        if truthy(holds(this[place], place, this)):
            return place
    return -1


@method("find", list, callback=0)
def find(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The first element for which the function holds, or null."""
    place = _found(this, "find", arguments, range(len(this)))
    return None if place < 0 else this[place]


@method("findIndex", list, callback=0)
def find_index(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The index of that element, or -1."""
    return _found(this, "findIndex", arguments, range(len(this)))


@method("findLast", list, callback=0)
def find_last(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The last element for which the function holds, or null."""
    place = _found(this, "findLast", arguments, range(len(this) - 1, -1, -1))
    return None if place < 0 else this[place]


@method("findLastIndex", list, callback=0)
def find_last_index(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The index of that element, or -1."""
    return _found(this, "findLastIndex", arguments, range(len(this) - 1, -1, -1))


def _reduced(name: str, this: list[Value], arguments: Arguments, places: list[int]) -> Value:
    """The function applied over the elements at these places."""
    step = callback(name, arguments)
    if len(arguments) > 1:
        result = arguments[1]
    elif places:
        result = this[places.pop(0)]
    else:
        raise ExpressionError(
            "expression_type", f"{name}() of an empty array needs a first value: add it."
        )
    for place in places:
        result = step(result, this[place], place, this)
    return result


@method("reduce", list, callback=0)
def reduce(f: Frame, this: Value, arguments: Arguments) -> Value:
    """One value made of all, from the left."""
    f.array(len(this))
    return _reduced("reduce", this, arguments, list(range(len(this))))


@method("reduceRight", list, callback=0)
def reduce_right(f: Frame, this: Value, arguments: Arguments) -> Value:
    """One value made of all, from the right."""
    f.array(len(this))
    return _reduced("reduceRight", this, arguments, list(range(len(this) - 1, -1, -1)))


@method("flatMap", list, callback=0)
def flat_map(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The function's arrays after each other."""
    each = callback("flatMap", arguments)
    made: list[Value] = []
    for place, value in enumerate(this):
        _append(f, made, each(value, place, this), 1, 0)
    return made


@method("flat", list)
def flat(f: Frame, this: Value, arguments: Arguments) -> Value:
    """With inner arrays resolved, one level or as many as said."""
    made: list[Value] = []
    _append(f, made, this, to_integer(f, argument(arguments, 0), 1) + 1, 0)
    return made


def _append(f: Frame, made: list[Value], value: Value, levels: int, depth: int) -> None:
    """Append a value, or the elements of an array while levels are left."""
    f.spend(8)
    f.hold(LIST_BYTES)
    if kind_of(value) is not list or levels <= 0:
        made.append(value)
        return
    if depth > DATA_DEPTH_MAX:
        raise ExpressionError("expression_depth", "The array is nested too deep to be made flat.")
    for each in value:
        if kind_of(each) is list and levels > 1:
            _append(f, made, each, levels - 1, depth + 1)
        else:
            f.spend(1)
            made.append(each)
    f.hold(8 * len(value))


@method("concat", list)
def concat(f: Frame, this: Value, arguments: Arguments) -> Value:
    """With the arguments behind it; arrays give their elements."""
    made: list[Value] = []
    for each in (this, *arguments):
        if kind_of(each) is list:
            f.array(len(each))
            made.extend(each)
        else:
            f.array(1)
            made.append(each)
    return made


@method("join", list)
def join_array(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The elements' texts with a separator, ',' by default."""
    separator = argument(arguments, 0)
    return join(f, this, "," if separator is None else to_text(f, separator))


@method("toString", list)
def text_of(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The elements' texts with commas."""
    return to_text(f, this)


@method("slice", list)
def slice_array(f: Frame, this: Value, arguments: Arguments) -> Value:
    """From an index to another; negative ones count from the end."""
    start = relative(f, argument(arguments, 0), len(this), 0)
    end = relative(f, argument(arguments, 1), len(this), len(this))
    f.array(max(0, end - start))
    return this[start:end]


@method("at", list)
def at(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The element at an index, null outside; negative ones count from the end."""
    place = to_integer(f, argument(arguments, 0))
    place = place + len(this) if place < 0 else place
    return this[place] if 0 <= place < len(this) else None


@method("includes", list)
def includes(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether an element equals the argument; NaN equals itself here."""
    wanted = argument(arguments, 0)
    f.spend(len(this))
    begin = relative(f, argument(arguments, 1), len(this), 0)
    seen = this[begin:] if begin else this
    if wanted != wanted:
        return any(each != each for each in seen if kind_of(each) is float)
    return any(same(f, each, wanted) for each in seen)


@method("indexOf", list)
def index_of(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The index of the first element that equals the argument, or -1."""
    wanted = argument(arguments, 0)
    for place in range(relative(f, argument(arguments, 1), len(this), 0), len(this)):
        f.spend(2)
        if same(f, this[place], wanted):
            return place
    return -1


@method("lastIndexOf", list)
def last_index_of(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The index of the last element that equals the argument, or -1."""
    wanted = argument(arguments, 0)
    last = clamped(f, argument(arguments, 1), len(this) - 1, len(this) - 1) if this else -1
    for place in range(last, -1, -1):
        f.spend(2)
        if same(f, this[place], wanted):
            return place
    return -1


@method("reverse", list)
@method("toReversed", list)
def reverse(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """A new array, backwards."""
    f.array(len(this))
    return this[::-1]


@method("sort", list, callback=0)
@method("toSorted", list, callback=0)
def sort(f: Frame, this: Value, arguments: Arguments) -> Value:
    """A new array, sorted stably: by a comparing function, else by text."""
    f.array(len(this))
    if argument(arguments, 0) is not None:
        compare = callback("sort", arguments)

        def order(left: Value, right: Value) -> int:
            f.spend(_COMPARE_COST)
            result = to_number(f, compare(left, right))
            return (result > 0) - (result < 0)

        return sorted(this, key=cmp_to_key(order))
    keys = [to_text(f, each) for each in this]
    f.spend(len(this) * _SORT_COST + sum(map(len, keys)) * len(this).bit_length() // 64)
    places: list[int] = list(range(len(this)))
    if all(map(str.isascii, keys)):
        places.sort(key=keys.__getitem__)
    else:
        f.text(2 * sum(map(len, keys)))
        coded = [order_key(key) for key in keys]
        places.sort(key=coded.__getitem__)
    return [this[place] for place in places]


@method("with", list)
def with_element(f: Frame, this: Value, arguments: Arguments) -> Value:
    """A new array with another element at an index."""
    place = to_integer(f, argument(arguments, 0))
    place = place + len(this) if place < 0 else place
    if not 0 <= place < len(this):
        raise ExpressionError("expression_range", "with() needs an index inside the array.")
    f.array(len(this))
    made = list(this)
    made[place] = argument(arguments, 1)
    return made


@method("keys", list)
def keys(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The indexes, as an array."""
    f.array(len(this))
    return list(range(len(this)))


@method("entries", list)
def entries(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Pairs of index and element, as an array."""
    f.array(len(this) * 4)
    f.hold(72 * len(this))
    return [[place, each] for place, each in enumerate(this)]


@method("values", list)
def values(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The array."""
    return this


@method("isEmpty", list)
def is_empty(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Whether it has no elements."""
    return not this


@method("first", list)
def first(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The first element, or null."""
    return this[0] if this else None


@method("last", list)
def last(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The last element, or null."""
    return this[-1] if this else None


def distinct(f: Frame, this: list[Value]) -> list[Value]:
    """The elements without repetition, in order; objects are equal to themselves only."""
    f.array(4 * len(this))
    f.hold(_SEEN_BYTES * len(this))
    seen: set[Value] = set()
    made: list[Value] = []
    for each in this:
        kind = kind_of(each)
        key: Value = (kind, id(each))
        if kind is str:
            f.scan(each)
            key = each
        elif kind is int or (kind is float and each == each):
            key = each
        elif kind is float:
            key = float
        if key not in seen:
            seen.add(key)
            made.append(each)
    return made


@method("unique", list)
@method("removeDuplicates", list)
def unique(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Without repetition, in order."""
    return distinct(f, this)


@method("compact", list)
def compact(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Without null and ''."""
    f.array(len(this))
    return [each for each in this if each is not None and each != ""]


@method("pluck", list)
def pluck(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The values of one key of each object; null where it is missing."""
    key = to_text(f, argument(arguments, 0))
    f.array(len(this))
    return [each.get(key) if kind_of(each) is dict else None for each in this]


@method("sum", list)
def total(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The elements as numbers, added."""
    result: Value = 0
    for each in this:
        f.spend(6)
        result = add(f, result, to_number(f, each))
    return result
