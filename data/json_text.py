"""JSON read from a file value by value, so that a file may be larger than memory."""

import json
import re
from collections.abc import Iterator
from typing import IO, Any

_LEAST_READ = 1 << 20  # Characters.
_MOST = 1 << 24  # Of one value: what is made of it, such as empty lists, may take 30 times as much.
_SPACE = re.compile(r"[ \t\n\r]*")
_CUT = re.compile(r"\.|[eE][+-]?")
_DECODER = json.JSONDecoder()


class TooLong(ValueError):
    """A value is longer than any that is expected."""

    def __init__(self):
        super().__init__(f"a value of more than {_MOST:,} characters")


class JsonText:
    """A JSON text, read from a file as its values are asked for, each of them whole.

    The methods raise ValueError, also where the text ends too early, and RecursionError.
    """

    def __init__(self, file: IO[str]):
        self._file = file
        self._text = ""
        self._at = 0

    def members(self) -> Iterator[str]:
        """Yields the keys of an object; the value of each is to be read before the next."""
        self._expect("{")
        if self.peek() == "}":
            self._expect("}")
            return
        more = ","
        while more == ",":
            key = self.value()
            if not isinstance(key, str):
                raise ValueError
            self._expect(":")
            yield key
            more = self._expect(",}")

    def elements(self) -> Iterator[None]:
        """Yields for each element of an array, which is to be read before the next."""
        self._expect("[")
        if self.peek() == "]":
            self._expect("]")
            return
        more = ","
        while more == ",":
            yield
            more = self._expect(",]")

    def value(self) -> Any:
        """Returns the next value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if len(self._text) - self._at > _MOST:
                    raise TooLong from None
                if not self._read():
                    raise
                continue
            # What was read may end within a number, of which the decoder took what is one.
            whole = end < len(self._text) and not _CUT.fullmatch(self._text, end)
            if whole or not self._read():
                self._at = end
                return value

    def skip(self) -> None:
        """Passes over the next value, which may be of any size."""
        begin = self.peek()
        if begin == "[":
            for _ in self.elements():
                self.skip()
        elif begin == "{":
            for _ in self.members():
                self.skip()
        else:
            self.value()

    def end(self) -> None:
        """Checks that nothing is left."""
        if self.peek():
            raise ValueError

    def _expect(self, characters: str) -> str:
        found = self.peek()
        if not found or found not in characters:
            raise ValueError
        self._at += 1
        return found

    def peek(self) -> str:
        """Returns the next character that is no white space; at the end, nothing."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read():
                return ""

    def _read(self) -> bool:
        """Reads on; as much as is held, lest a long value be decoded again for every piece."""
        self._text = self._text[self._at :]
        more = self._file.read(max(_LEAST_READ, len(self._text)))
        self._text, self._at = self._text + more, 0
        return bool(more)
