"""From a syntax tree to closures. Nothing of Python is reachable from what they read.

A closure takes the frame and gives a value. Only what repeats is paid for: see `limits`.
"""

from collections.abc import Callable
from typing import Any, Final

from .access import ROOT_READERS, Run, computed, path_reader, view_reader
from .calls import bind, elements, named_function, placed, single, spread_into, wrong_type
from .errors import ExpressionError
from .limits import NESTING_MAX, Frame, Value, kind_of
from .operators import BINARY, UNARY
from .regex import compile_regex
from .registry import FUNCTIONS, METHODS, Callback
from .syntax import (
    Argument,
    ArrayLiteral,
    Arrow,
    Binary,
    Choose,
    FunctionCall,
    FunctionName,
    Index,
    Literal,
    Local,
    Logical,
    Member,
    MethodCall,
    Node,
    ObjectLiteral,
    RegexLiteral,
    Root,
    Spread,
    TextLiteral,
    Unary,
    View,
)
from .values import joined, to_text, truthy, type_name
from .weights import (
    CALL_WEIGHT,
    FOLD_FUEL,
    FOLD_ROOM,
    FOLDED,
    MOMENT_WEIGHT,
    NOWHERE,
    PLAIN,
    WEIGHTS,
)


class Compiler:
    """Compiles the nodes of one expression; `depth` bounds its recursion."""

    def __init__(self) -> None:
        self.depth = 0
        self.weight = 0
        self.varying = 0

    def compile(self, node: Node) -> Run:
        """The closure of a node."""
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise ExpressionError(
                "expression_size", "The expression is nested too deep: split it.", node.at
            )
        self.weight += WEIGHTS.get(type(node), 1)
        before = self.varying
        run = _BY_NODE[type(node)](self, node)
        self.depth -= 1
        return self.folded(run) if self.varying == before and type(node) in FOLDED else run

    def folded(self, run: Run) -> Run:
        """The value itself, where a part of the expression can have only one that is plain.

        What fails is left alone: it must fail when it is evaluated, and only then. Arrays and
        objects are made anew each time, since each is equal to itself only.
        """
        f = Frame(NOWHERE)
        f.fuel, f.room = FOLD_FUEL, FOLD_ROOM
        try:
            value = run(f)
        except ExpressionError:
            value = f
        if value is None or kind_of(value) in PLAIN:
            return lambda _f: value
        self.varying += 1
        return run

    def literal(self, node: Literal) -> Run:
        """A constant."""
        value = node.value
        return lambda _f: value

    def root(self, node: Root) -> Run:
        """`$json` and its kin."""
        self.varying += 1
        self.weight += MOMENT_WEIGHT if node.name in ("$now", "$today") else 0
        read = ROOT_READERS[node.name]
        return lambda f: read(f.scope)

    def view(self, node: View) -> Run:
        """`$input` or another node's items."""
        self.varying += 1
        return view_reader(node.node, node.ask)

    def local(self, node: Local) -> Run:
        """An arrow function's argument."""
        self.varying += 1
        slot = node.slot
        return lambda f: f.slots[slot]

    def member(self, node: Member) -> Run:
        """A path of literal keys."""
        keys: list[str | int] = []
        base: Node = node
        while isinstance(base, Member):
            keys.append(base.key)
            base = base.of
        return path_reader(self.compile(base), tuple(reversed(keys)))

    def index(self, node: Index) -> Run:
        """A computed key."""
        of, key = self.compile(node.of), self.compile(node.key)
        return lambda f: computed(f, of(f), key(f))

    def regex(self, node: RegexLiteral) -> Run:
        """A regular expression, compiled once."""
        compiled = compile_regex(node.source, node.flags)
        return lambda _f: compiled

    # --- made values

    def array(self, node: ArrayLiteral) -> Run:
        """A new array."""
        collect = self.collect(node.items)

        def make(f: Frame) -> Value:
            values = collect(f)
            f.array(len(values))
            return values

        return make

    def collect(self, items: tuple[Argument, ...]) -> Callable[[Frame], list[Value]]:
        """The values of array elements or arguments, with spreads resolved."""
        if not any(isinstance(item, Spread) for item in items):
            runs = [self.argument(item) for item in items]
            if len(runs) == 1:
                only = runs[0]
                return lambda f: [only(f)]
            return lambda f: [run(f) for run in runs]
        steps = [
            (True, self.compile(item.value))
            if isinstance(item, Spread)
            else (False, self.argument(item))
            for item in items
        ]

        def values(f: Frame) -> list[Value]:
            found: list[Value] = []
            for spread, run in steps:
                value = run(f)
                if spread:
                    found.extend(elements(f, value))
                else:
                    found.append(value)
            return found

        return values

    def argument(self, item: Argument) -> Run:
        """One argument."""
        if isinstance(item, Arrow):
            return self.arrow(item)
        if isinstance(item, FunctionName):
            return named_function(item)
        if isinstance(item, Spread):
            return self.compile(item.value)
        return self.compile(item)

    def object(self, node: ObjectLiteral) -> Run:
        """A new object; later keys win but keep the earlier place."""
        steps: list[tuple[str | Run | None, Run]] = []
        for entry in node.entries:
            if isinstance(entry, Spread):
                steps.append((None, self.compile(entry.value)))
            elif isinstance(entry.key, str):
                steps.append((entry.key, self.compile(entry.value)))
            else:
                steps.append((self.compile(entry.key), self.compile(entry.value)))

        def make(f: Frame) -> Value:
            made: dict[str, Value] = {}
            f.object(len(steps))
            for key, run in steps:
                if key is None:
                    spread_into(f, made, run(f))
                elif isinstance(key, str):
                    made[key] = run(f)
                else:
                    name = to_text(f, key(f))
                    made[name] = run(f)
            return made

        return make

    def text(self, node: TextLiteral) -> Run:
        """A template literal."""
        texts = node.texts
        runs = [self.compile(part) for part in node.parts]

        def make(f: Frame) -> Value:
            parts = [texts[0]]
            for run, text in zip(runs, texts[1:], strict=True):
                parts.append(to_text(f, run(f)))
                parts.append(text)
            return joined(f, parts)

        return make

    # --- operators

    def unary(self, node: Unary) -> Run:
        """An operator before its operand; `typeof` of a path tells missing from null."""
        if node.operator == "typeof":
            return self.type_of(node.operand)
        operand, apply = self.compile(node.operand), UNARY[node.operator]
        if node.operator == "!":
            return lambda f: not truthy(operand(f))
        return lambda f: apply(f, operand(f))

    def type_of(self, operand: Node) -> Run:
        """`typeof`: 'undefined' for what is missing, 'object' for a null that is there."""
        run = self.compile(operand)
        if not isinstance(operand, Member | Index):
            return lambda f: type_name(run(f))
        of = self.compile(operand.of)
        key = self.compile(operand.key) if isinstance(operand, Index) else None
        fixed = operand.key if isinstance(operand, Member) else None

        def told(f: Frame) -> Value:
            value = run(f)
            if value is not None:
                return type_name(value)
            holder = of(f)
            name: Value = fixed if key is None else key(f)
            if kind_of(holder) is dict:
                return "object" if to_text(f, name) in holder else "undefined"
            there = kind_of(holder) is list and kind_of(name) is int and 0 <= name < len(holder)
            return "object" if there else "undefined"

        return told

    def binary(self, node: Binary) -> Run:
        """A chain of operators, from left to right without recursion."""
        spine: list[Binary] = []
        first: Node = node
        while isinstance(first, Binary):
            spine.append(first)
            first = first.left
        start = self.compile(first)
        steps = [(BINARY[each.operator], self.compile(each.right)) for each in reversed(spine)]
        if len(steps) == 1:
            apply, right = steps[0]
            return single(node.operator, apply, start, right)

        def chain(f: Frame) -> Value:
            value = start(f)
            for apply, right in steps:
                value = apply(f, value, right(f))
            return value

        return chain

    def logical(self, node: Logical) -> Run:
        """`&&`, `||`, `??` from left to right; what decides already is not followed."""
        spine: list[Logical] = []
        first: Node = node
        while isinstance(first, Logical):
            spine.append(first)
            first = first.left
        start = self.compile(first)
        steps = [(each.operator, self.compile(each.right)) for each in reversed(spine)]

        def chain(f: Frame) -> Value:
            value = start(f)
            for operator, right in steps:
                if operator == "&&":
                    follow = truthy(value)
                elif operator == "||":
                    follow = not truthy(value)
                else:
                    follow = value is None
                if follow:
                    value = right(f)
            return value

        return chain

    def choose(self, node: Choose) -> Run:
        """The first case whose test holds."""
        cases = [(self.compile(test), self.compile(value)) for test, value in node.cases]
        otherwise = self.compile(node.otherwise)

        def chosen(f: Frame) -> Value:
            for test, value in cases:
                if truthy(test(f)):
                    return value(f)
            return otherwise(f)

        return chosen

    # --- calls

    def method_call(self, node: MethodCall) -> Run:
        """A method, chosen by the type of what it is called on."""
        of, collect = self.compile(node.of), self.collect(node.arguments)
        methods, name, at, lenient = METHODS[node.name], node.name, node.at, node.lenient

        def call(f: Frame) -> Value:
            this = of(f)
            found = methods.get(kind_of(this))
            if found is None:
                if this is None and lenient:
                    return None
                raise wrong_type(name, this, at)
            f.fuel -= 1
            try:
                return found.call(f, this, collect(f))
            except ExpressionError as error:
                raise placed(error, at) from None

        return call

    def function_call(self, node: FunctionCall) -> Run:
        """A function by its name."""
        call, collect, at = FUNCTIONS[node.name].call, self.collect(node.arguments), node.at

        def run(f: Frame) -> Value:
            f.fuel -= 1
            try:
                return call(f, None, collect(f))
            except ExpressionError as error:
                raise placed(error, at) from None

        return run

    def arrow(self, node: Arrow) -> Run:
        """A function value: each call of it pays for its body."""
        before = self.weight
        self.varying += 1
        body = self.compile(node.body)
        size = self.weight - before + CALL_WEIGHT
        patterns = node.parameters
        slot = patterns[0].slot if len(patterns) == 1 else -1

        def simple(f: Frame) -> Callback:
            slots = f.slots

            def call(first: Value, *_rest: Value) -> Value:
                f.fuel -= size
                if f.fuel < 0:
                    f.spend(0)
                slots[slot] = first
                return body(f)

            return call

        def general(f: Frame) -> Callback:
            def call(*values: Value) -> Value:
                f.spend(size)
                for place, pattern in enumerate(patterns):
                    bind(f, pattern, values[place] if place < len(values) else None)
                return body(f)

            return call

        return simple if slot >= 0 else general


_BY_NODE: Final[dict[type, Callable[[Compiler, Any], Run]]] = {
    Literal: Compiler.literal,
    Root: Compiler.root,
    View: Compiler.view,
    Local: Compiler.local,
    Member: Compiler.member,
    Index: Compiler.index,
    RegexLiteral: Compiler.regex,
    ArrayLiteral: Compiler.array,
    ObjectLiteral: Compiler.object,
    TextLiteral: Compiler.text,
    Unary: Compiler.unary,
    Binary: Compiler.binary,
    Logical: Compiler.logical,
    Choose: Compiler.choose,
    MethodCall: Compiler.method_call,
    FunctionCall: Compiler.function_call,
}
