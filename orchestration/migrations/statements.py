"""Where one SQL statement of a file ends and the next begins.

Statements are sent one by one so that an error names its line, so that ``-- no-transaction`` files really run outside
a transaction (several statements in one message are one transaction), and so that a file cannot commit half of itself.
"""

import re
from dataclasses import dataclass

# What a semicolon may hide in, longest first. psql knows the same five, and BEGIN ATOMIC bodies besides.
_TOKEN = re.compile(
    r"""
    (?P<line_comment>--[^\n]*)
  | (?P<block_comment>/\*)
  | (?P<escape_string>\b[eE]'(?:[^'\\]|\\.|'')*')
  | (?P<string>'(?:[^']|'')*')
  | (?P<identifier>"(?:[^"]|"")*")
  | (?P<dollar>\$(?P<tag>[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$)
  | (?P<word>[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*)
  | (?P<semicolon>;)
  | (?P<unclosed>['"])
  | (?P<other>[^\s])
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_COMMENT_EDGE = re.compile(r"/\*|\*/")

# A file that ends or begins transactions itself could leave half of its work behind.
_TRANSACTION_CONTROL = frozenset({"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"})


class StatementError(ValueError):
    """The text cannot be split into statements; the message names the line."""


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        text: from its first token to before its semicolon.
        line: line of the first token, from 1.
        first_word: lower case, empty when it begins with no word.
    """

    text: str
    line: int
    first_word: str

    @property
    def controls_transaction(self) -> bool:
        """Whether it would begin or end a transaction, or a part of one."""
        return self.first_word in _TRANSACTION_CONTROL


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _after_block_comment(text: str, opening: int) -> int:
    depth = 0
    for edge in _BLOCK_COMMENT_EDGE.finditer(text, opening):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise StatementError(f"line {_line(text, opening)}: comment is not closed")


def _after_dollar_quote(text: str, match: re.Match[str]) -> int:
    closing = text.find(match.group(), match.end())
    if closing < 0:
        raise StatementError(f"line {_line(text, match.start())}: {match.group()} is not closed")
    return closing + len(match.group())


class _Splitter:
    """State while reading: where the present statement began, and how deep in a BEGIN ATOMIC body it is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.statements: list[Statement] = []
        self.start: int | None = None
        self.words: list[str] = []
        self.depth = 0

    def close(self, position: int) -> None:
        if self.start is not None:
            self.statements.append(
                Statement(
                    text=self.text[self.start : position].rstrip(),
                    line=_line(self.text, self.start),
                    first_word=self.words[0] if self.words else "",
                )
            )
        self.start, self.words, self.depth = None, [], 0

    def word(self, word: str) -> None:
        self.words.append(word.lower())
        # Only the body of a routine in standard SQL has semicolons of its own; CASE inside it also ends with END.
        if self.words[0] == "create" and {"function", "procedure"} & set(self.words[1:4]):
            if self.words[-2:] == ["begin", "atomic"] or (self.depth and self.words[-1] == "case"):
                self.depth += 1
            elif self.depth and self.words[-1] == "end":
                self.depth -= 1


def split(text: str) -> list[Statement]:
    """Return the statements of ``text`` in order; comments between statements are left out.

    Raises:
        StatementError: a comment, string, quoted identifier or dollar quote is not closed, or the last statement
            has no semicolon.
    """
    splitter = _Splitter(text)
    position = 0
    while match := _TOKEN.search(text, position):
        position = match.end()
        kind = match.lastgroup if match.lastgroup != "tag" else "dollar"
        if kind == "line_comment":
            continue
        if kind == "block_comment":
            position = _after_block_comment(text, match.start())
            continue
        if kind == "unclosed":
            raise StatementError(f"line {_line(text, match.start())}: {match.group()} is not closed")
        if kind == "semicolon" and splitter.depth == 0:
            splitter.close(match.start())
            continue
        if splitter.start is None:
            splitter.start = match.start()
        if kind == "dollar":
            position = _after_dollar_quote(text, match)
        elif kind == "word":
            splitter.word(match.group())
    if splitter.start is not None:
        raise StatementError(f"line {_line(text, splitter.start)}: the statement has no semicolon")
    return splitter.statements
