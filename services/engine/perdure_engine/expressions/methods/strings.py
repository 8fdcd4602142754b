"""Methods of texts. Offsets count UTF-16 units, as in JavaScript."""

from perdure_engine.expressions.limits import Frame, Value
from perdure_engine.expressions.registry import Arguments, argument, method
from perdure_engine.expressions.values import to_text


@method("toUpperCase", str)
def upper(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """All letters large."""
    f.text(len(this), this.isascii())
    return this.upper()


@method("includes", str)
def includes(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether a text is in it."""
    f.scan(this)
    return to_text(f, argument(arguments, 0)) in this
