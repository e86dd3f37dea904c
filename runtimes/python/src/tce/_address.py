"""Qpid addresses of queues and topics: `name[/subject][;{options}]`.

It is parsed as leniently as by Qpid: with spaces between the parts, quotes around
names and values, and options in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_SIZE = 4096
MAX_NAME_SIZE = 255
MAX_DEPTH = 16

_FORM = "write it like name;{create:always,node:{type:queue,durable:true}}"


def quoted(text: str) -> str:
    """A text in backquotes, on one line and cut after 100 characters."""
    shown = "".join(_visible(char) for char in text[:100])
    return f"`{shown}{'…' if len(text) > 100 else ''}`"


def _visible(char: str) -> str:
    escapes = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", "\\": "\\\\", "'": "\\'"}
    escapes['"'] = '\\"'
    if char in escapes:
        return escapes[char]
    return char if char.isprintable() else f"\\u{{{ord(char):x}}}"


@dataclass(frozen=True, slots=True)
class Address:
    """A queue or topic at a broker."""

    name: str
    subject: str = ""
    """The routing key."""
    is_topic: bool = False
    """A broadcast: an exchange, to which each reader binds a queue of its own."""
    create: bool = False
    """Whether it is declared before it is used."""
    durable: bool = False
    """Whether it survives a restart of the broker."""


@dataclass
class _Word:
    at: int
    text: str


@dataclass
class _Map:
    at: int
    entries: list[tuple[str, _Value]]


@dataclass
class _List:
    at: int


_Value = _Word | _Map | _List


class _Mistake(Exception):
    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at = at
        self.reason = reason


def parse(text: str) -> tuple[Address, list[str]]:
    """The address, and the names of options that are ignored.

    Raises `ValueError`, which names the column of the mistake.
    """
    try:
        return _interpret(text)
    except _Mistake as mistake:
        reason = f"column {mistake.at + 1}: {mistake.reason}"
        raise ValueError(f"{quoted(text)} is not an address: {reason}; {_FORM}") from None


def _interpret(text: str) -> tuple[Address, list[str]]:
    if len(text.encode()) > MAX_SIZE:
        raise _Mistake(0, f"it has {len(text.encode())} bytes; {MAX_SIZE} are allowed")
    parser = _Parser(text)
    name = parser.part("/;")
    subject = parser.part(";") if parser.eat("/") else _Word(0, "")
    options: list[tuple[str, _Value]] = []
    if parser.eat(";"):
        parser.space()
        if parser.peek():
            options = parser.map(MAX_DEPTH)
    parser.space()
    if parser.peek():
        raise parser.expected("the end")
    _check_size(name, "the name")
    if not name.text:
        raise _Mistake(name.at, "the name is missing")
    _check_size(subject, "the subject")
    create = is_topic = durable = False
    ignored: list[str] = []
    for key, value in options:
        if key == "create":
            create = _create(value)
        elif key == "node":
            if not isinstance(value, _Map):
                reason = "`node` takes options in braces, `{type:queue,durable:true}`"
                raise _Mistake(value.at, reason)
            for inner, entry in value.entries:
                if inner == "type":
                    is_topic = _choice(entry, "`type`", {"queue": False, "topic": True})
                elif inner == "durable":
                    words = {"true": True, "1": True, "false": False, "0": False}
                    durable = _choice(entry, "`durable`", words, "true and false")
                else:
                    ignored.append(f"node.{inner}")
        else:
            ignored.append(key)
    return Address(name.text, subject.text, is_topic, create, durable), ignored


def _check_size(part: _Word, what: str) -> None:
    size = len(part.text.encode())
    if size > MAX_NAME_SIZE:
        raise _Mistake(part.at, f"{what} has {size} bytes; {MAX_NAME_SIZE} are allowed")


def _create(value: _Value) -> bool:
    words = {"always": True, "sender": True, "receiver": True, "never": False}
    return _choice(value, "`create`", words)


def _choice(value: _Value, option: str, words: dict[str, bool], allowed: str = "") -> bool:
    if not isinstance(value, _Word):
        raise _Mistake(value.at, f"{option} takes one word")
    found = words.get(value.text.lower())
    if found is None:
        *several, last = words
        allowed = allowed or f"{', '.join(several)} and {last}"
        raise _Mistake(value.at, f"{quoted(value.text)} is not one of {allowed}")
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    def eat(self, wanted: str) -> bool:
        found = self.peek() == wanted
        self.at += found
        return found

    def space(self) -> None:
        while self.peek().isspace():
            self.at += 1

    def expect(self, wanted: str) -> None:
        self.space()
        if not self.eat(wanted):
            raise self.expected(f"`{wanted}`")

    def expected(self, what: str) -> _Mistake:
        found = quoted(self.peek()) if self.peek() else "the end"
        return _Mistake(self.at, f"expected {what}, found {found}")

    def part(self, ends: str) -> _Word:
        """A name or a subject, up to one of the characters or the end."""
        self.space()
        start, text = self.at, ""
        while self.peek() and self.peek() not in ends:
            if self.peek().isspace():
                gap = self.at
                self.space()
                if self.peek() and self.peek() not in ends:
                    raise _Mistake(gap, "put a name with spaces in quotes")
            elif self.peek() in "'\"":
                text += self.quotation()
            else:
                text += self.peek()
                self.at += 1
        return _Word(start, text)

    def quotation(self) -> str:
        start, quote, text = self.at, self.peek(), ""
        self.at += 1
        while self.peek():
            char = self.peek()
            self.at += 1
            if char == quote:
                return text
            if char == "\\":
                char = self.peek()
                self.at += 1
            text += char
        raise _Mistake(start, "the quote is not closed")

    def word(self, what: str) -> str:
        self.space()
        if self.peek() and self.peek() in "'\"":
            return self.quotation()
        start = self.at
        while self.peek() and not self.peek().isspace() and self.peek() not in ",:;{}[]'\"":
            self.at += 1
        if self.at == start:
            raise self.expected(what)
        return self.text[start : self.at]

    def map(self, depth: int) -> list[tuple[str, _Value]]:
        self.expect("{")
        entries: list[tuple[str, _Value]] = []
        while not self.closed("}"):
            self.space()
            at = self.at
            key = self.word("an option or `}`")
            if any(key == other for other, _ in entries):
                raise _Mistake(at, f"{quoted(key)} is given twice")
            self.expect(":")
            entries.append((key, self.value(depth)))
            self.delimiter("}")
        return entries

    def value(self, depth: int) -> _Value:
        self.space()
        at = self.at
        if depth == 0:
            raise _Mistake(at, f"options nest deeper than {MAX_DEPTH} levels")
        if self.peek() == "{":
            return _Map(at, self.map(depth - 1))
        if self.peek() == "[":
            self.expect("[")
            while not self.closed("]"):
                self.value(depth - 1)
                self.delimiter("]")
            return _List(at)
        return _Word(at, self.word("a value"))

    def closed(self, close: str) -> bool:
        self.space()
        return self.eat(close)

    def delimiter(self, close: str) -> None:
        """After an item: takes a comma, or leaves `close` to be read next."""
        self.space()
        if not self.eat(",") and self.peek() != close:
            raise self.expected(f"`,` or `{close}`")
