"""From text to tokens, in one pass. A template literal is one token that holds the inner ones."""

import re
from typing import Any, Final, NamedTuple

from .errors import ExpressionError
from .limits import NESTING_MAX, SOURCE_MAX
from .values import WHITE, number, paired

PUNCTUATORS: Final = (
    *(">>>=", "...", "===", "!==", ">>>", "**=", "<<=", ">>=", "&&=", "||=", "??="),
    *("=>", "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "**", "<<", ">>", "++", "--"),
    *("+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="),
    *"{}()[];,<>+-*/%&|^!~?:=.",
)
_BY_FIRST: Final = {
    first: tuple(each for each in PUNCTUATORS if each[0] == first)
    for first in {each[0] for each in PUNCTUATORS}
}
_NUMBER: Final = re.compile(
    r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+"
    r"|(?:[0-9]+(?:_[0-9]+)*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
)
_NAME: Final = re.compile(r"[A-Za-z_$\u0080-\uffff][\w$]*")
_REGEX: Final = re.compile(r"/((?:[^/\\\[\n]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n])*\])+)/([A-Za-z]*)")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_OPENERS: Final = {"(": ")", "[": "]", "{": "}"}


class Token(NamedTuple):
    """One word of the language.

    Kinds: `number`, `text`, `name`, `mark`, `template` (value: texts and tokens in turn),
    `regex` (value: source and flags), `end`. `match` is the index of the closing bracket of an
    opening one.
    """

    kind: str
    value: Any
    at: int


class Lexer:
    """Reads tokens from `text`, beginning at `at`; after `tokens` it stands behind them."""

    def __init__(self, text: str, at: int, stop: int, limit: int) -> None:
        self.text = text
        self.at = at
        self.stop = stop
        self.limit = limit
        self.depth = 0

    def fail(self, message: str, at: int) -> ExpressionError:
        """A syntax error at an offset."""
        return ExpressionError("expression_syntax", message, at, self.text)

    def tokens(self, closer: str) -> list[Token]:
        """All tokens up to `closer` outside brackets, or up to the end if it is empty."""
        self.depth += 1
        if self.depth * 10 > NESTING_MAX:
            raise ExpressionError(
                "expression_size",
                "Template literals are nested too deep: split the expression.",
                self.at,
                self.text,
            )
        found: list[Token] = []
        brackets: list[Token] = []
        while True:
            self.skip_blank()
            at = self.at
            if at >= self.stop or (closer and not brackets and self.text.startswith(closer, at)):
                break
            token = self.token(found[-1] if found else None)
            found.append(token)
            if self.at > self.limit:
                raise ExpressionError(
                    "expression_size",
                    f"The expression is longer than {SOURCE_MAX} characters: "
                    "split it, or use a code node.",
                    at,
                    self.text,
                )
            if token.kind == "mark":
                self.bracket(token, brackets)
        if brackets:
            raise self.fail(f"'{brackets[-1].value}' is never closed: add it.", brackets[-1].at)
        if closer and self.at >= self.stop:
            raise self.fail(f"'{closer}' is missing at the end of the expression: add it.", self.at)
        found.append(Token("end", "", self.at))
        self.at += len(closer)
        self.depth -= 1
        return found

    def bracket(self, token: Token, brackets: list[Token]) -> None:
        """Keep the stack of open brackets."""
        if token.value in _OPENERS:
            brackets.append(token)
        elif token.value in (")", "]", "}"):
            if not brackets:
                raise self.fail(f"'{token.value}' closes nothing: remove it.", token.at)
            opener = brackets.pop()
            if _OPENERS[opener.value] != token.value:
                raise self.fail(
                    f"'{opener.value}' is not closed before '{token.value}'.", opener.at
                )

    def skip_blank(self) -> None:
        """Pass white space and comments."""
        text, stop = self.text, self.stop
        while self.at < stop:
            if text[self.at] in WHITE:
                self.at += 1
            elif text.startswith("//", self.at):
                end = text.find("\n", self.at, stop)
                self.at = stop if end < 0 else end
            elif text.startswith("/*", self.at):
                end = text.find("*/", self.at + 2, stop)
                if end < 0:
                    raise self.fail("The comment is never closed: add '*/'.", self.at)
                self.at = end + 2
            else:
                return

    def token(self, before: Token | None) -> Token:
        """The next token; `before` decides whether `/` divides or begins a regex."""
        text, at = self.text, self.at
        first = text[at]
        if first in "\"'":
            return self.string(first)
        if first == "`":
            return self.template()
        if first.isdigit() or (first == "." and text[at + 1 : at + 2].isdigit()):
            return self.number()
        name = _NAME.match(text, at, self.stop)
        if name:
            self.at = name.end()
            return Token("name", name.group(), at)
        if first == "/" and _operand_follows(before):
            return self.regex()
        for mark in _BY_FIRST.get(first, ()):
            if text.startswith(mark, at):
                if mark == "?." and text[at + 2 : at + 3].isdigit():
                    continue
                self.at += len(mark)
                return Token("mark", mark, at)
        raise self.fail(f"The character '{first}' has no meaning here: remove it.", at)

    def number(self) -> Token:
        """A decimal, hexadecimal, octal or binary number."""
        at = self.at
        match = _NUMBER.match(self.text, at, self.stop)
        follower = "" if match is None else self.text[match.end() : match.end() + 1]
        if match is None or follower.isalnum() or follower in ("_", "$"):
            raise self.fail("This number cannot be read: write it as 1, 1.5, 1e3 or 0xff.", at)
        digits = match.group().replace("_", "")
        self.at = match.end()
        if len(digits) > 1 and digits[0] == "0" and digits[1] in "xXoObB":
            return Token("number", number(float(min(int(digits, 0), 1 << 1000))), at)
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            raise self.fail("A number may not begin with 0: remove it.", at)
        return Token("number", number(float(digits)), at)

    def string(self, quote: str) -> Token:
        """A text in single or double quotes."""
        at = self.at
        self.at += 1
        parts: list[str] = []
        while self.at < self.stop:
            char = self.text[self.at]
            if char == quote:
                self.at += 1
                return Token("text", paired("".join(parts)), at)
            if char == "\n":
                break
            parts.append(self.character())
        raise self.fail(f"The text is never closed: add {quote}.", at)

    def character(self) -> str:
        """One character of a text, with its escape resolved."""
        text, at = self.text, self.at
        char = text[at]
        self.at += 1
        if char != "\\" or self.at >= self.stop:
            return char
        escape = text[self.at]
        self.at += 1
        if escape in "xu":
            return self.coded(escape, at)
        if escape == "\n":
            return ""
        if escape.isdigit() and (escape != "0" or text[self.at : self.at + 1].isdigit()):
            raise self.fail("Octal escapes are not in the language: write \\xNN.", at)
        return _ESCAPES.get(escape, escape)

    def coded(self, escape: str, at: int) -> str:
        """The character of a hexadecimal escape, behind its `x` or `u`."""
        text, length = self.text, "2" if escape == "x" else "4"
        after = self.at + int(length)
        digits = text[self.at : after]
        if escape == "u" and text.startswith("{", self.at):
            end = text.find("}", self.at, self.at + 10)
            digits, after, length = text[self.at + 1 : max(end, 0)], end + 1, "1,8"
        if not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", digits):
            raise self.fail("The escape is not complete: write \\xNN or \\uNNNN.", at)
        code = int(digits, 16)
        if code > 0x10FFFF:
            raise self.fail("There is no such character: the last one is \\u{10FFFF}.", at)
        self.at = after
        return chr(code)

    def template(self) -> Token:
        """A template literal with the tokens of its `${ … }` parts."""
        at = self.at
        self.at += 1
        pieces: list[Any] = []
        parts: list[str] = []
        while self.at < self.stop:
            if self.text[self.at] == "`":
                self.at += 1
                pieces.append(paired("".join(parts)))
                return Token("template", pieces, at)
            if self.text.startswith("${", self.at):
                self.at += 2
                pieces.append(paired("".join(parts)))
                pieces.append(self.tokens("}"))
                parts = []
            else:
                parts.append(self.character())
        raise self.fail("The template literal is never closed: add `.", at)

    def regex(self) -> Token:
        """A regular expression literal."""
        at = self.at
        match = _REGEX.match(self.text, at, self.stop)
        if match is None:
            raise self.fail("The regular expression is never closed: add '/'.", at)
        self.at = match.end()
        return Token("regex", match.groups(), at)


def _operand_follows(before: Token | None) -> bool:
    """Whether an operand may stand behind `before`, so that `/` begins a regex."""
    if before is None:
        return True
    if before.kind == "mark":
        return before.value not in (")", "]", "}")
    return before.kind == "name" and before.value in ("typeof", "in")


def tokens_of(source: str) -> list[Token]:
    """The tokens of an expression without braces.

    Raises:
        ExpressionError: `expression_syntax` or `expression_size`, with the position.
    """
    return Lexer(source, 0, len(source), SOURCE_MAX).tokens("")
