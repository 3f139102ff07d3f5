"""`{json: FILE}`: the items of a JSON array, or one JSON value after the other (JSON lines).

A value is taken as soon as it is complete, and only the text of the one that is not is held.
"""

import codecs
import json
from collections.abc import Iterator
from typing import Any, NoReturn

from batchrun.errors import SourceError
from batchrun.jobfile.feeder import Batches
from batchrun.jobfile.scalars import Plain, resolve

__all__ = ["JsonReader"]

#: No item that anybody means is longer.
_LONGEST_ITEM = 16 * 1024 * 1024
#: A value of which this much was read is tried again only when there is twice as much.
_LONG = 64 * 1024
#: An error this close to the end of what was read may be the end's fault (`tru`, `\u00`).
_UNSURE = 16
_BLANK = " \t\r\n"


def _number(text: str) -> Any:
    return resolve(Plain(text))


def _refuse(word: str) -> NoReturn:
    message = f"{word} is not JSON"
    raise ValueError(message)


_DECODER = json.JSONDecoder(parse_int=_number, parse_float=_number, parse_constant=_refuse)


class JsonReader:
    """Reads items.

    Args:
        name: Of the file, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False
        #: Nothing is tried again before there is this much text: long values stay cheap.
        self._needed = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode

    def batches(self, blocks: Iterator[bytes]) -> Batches:
        """Yield the items of blocks as they come.

        Raises:
            SourceError: it is not JSON; what came before was yielded.
        """
        if not self._skip_blank(blocks):
            return
        if self._text.startswith("\ufeff", self._at):
            self._at += 1
            self._skip_blank(blocks)
        if self._text.startswith("[", self._at):
            self._at += 1
            yield from self._array(blocks)
        else:
            yield from self._values(blocks)

    def _values(self, blocks: Iterator[bytes]) -> Batches:
        """Yield values that stand one after the other."""
        while self._skip_blank(blocks):
            batch: list[Any] = []
            try:
                while self._has_text() and self._take(batch):
                    pass
            except SourceError:
                yield batch
                raise
            yield batch
            if not batch:
                self._more(blocks)

    def _array(self, blocks: Iterator[bytes]) -> Batches:
        """Yield the items of an array whose bracket has been read."""
        is_first = True
        while True:
            batch: list[Any] = []
            try:
                is_first, closed = self._some_of_array(batch, is_first=is_first)
            except SourceError:
                yield batch
                raise
            yield batch
            if closed:
                break
            if self._ended:
                self._fail("the array is not closed; `]` is missing")
            self._more(blocks)
        if self._skip_blank(blocks):
            self._fail("there is more text after the `]` of the array")

    def _some_of_array(self, batch: list[Any], *, is_first: bool) -> tuple[bool, bool]:
        """Take what is complete; tell whether nothing was taken ever, and whether that was all."""
        while self._has_text():
            if self._text[self._at] == "]":
                self._at += 1
                return is_first, True
            start = self._at
            if not is_first:
                if self._text[self._at] != ",":
                    self._fail("`,` or `]` is missing here")
                self._at += 1
                if not self._has_text():
                    self._at = start
                    break
            if not self._take(batch):
                self._at = start
                break
            is_first = False
        return is_first, False

    def _take(self, batch: list[Any]) -> bool:
        """Take one value; False: it is not complete yet."""
        if len(self._text) - self._at < self._needed and not self._ended:
            return False
        try:
            value, end = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            if self._ended or self._is_certain(error):
                self._at = max(self._at, error.pos)
                self._fail(f"this is not JSON: {error.msg}")
            return self._wait()
        except (ValueError, RecursionError) as error:
            too_deep = isinstance(error, RecursionError)
            self._fail("a value is nested too deep" if too_deep else str(error))
        if not self._ended and self._may_go_on(end):
            return self._wait()
        batch.append(value)
        self._at, self._needed = end, 0
        return True

    def _may_go_on(self, end: int) -> bool:
        """Tell whether a number that ends here may have more digits, or `.5`, or `e+3`."""
        rest = self._text[end : end + 3]
        return not rest or (len(rest) < 3 and rest[0] in ".eE")

    def _is_certain(self, error: json.JSONDecodeError) -> bool:
        is_near_end = error.pos + _UNSURE > len(self._text)
        return not is_near_end and not error.msg.startswith("Unterminated")

    def _wait(self) -> bool:
        length = len(self._text) - self._at
        self._needed = 2 * length if length > _LONG else 0
        if length > _LONGEST_ITEM:
            self._fail("a value is longer than 16 MiB; it is not a list of items")
        return False

    # --- the text

    def _has_text(self) -> bool:
        """Step over blanks; tell whether there is something behind them."""
        while self._at < len(self._text) and self._text[self._at] in _BLANK:
            self._at += 1
        return self._at < len(self._text)

    def _skip_blank(self, blocks: Iterator[bytes]) -> bool:
        """Step over blanks, reading on where needed; False: the text ends."""
        while not self._has_text():
            if self._ended:
                return False
            self._more(blocks)
        return True

    def _more(self, blocks: Iterator[bytes]) -> None:
        """Read on until it is worth another try; forget what was taken."""
        self._line += self._text.count("\n", 0, self._at)
        pieces = [self._text[self._at :]]
        length = len(pieces[0])
        self._at = 0
        while not self._ended:
            block = next(blocks, None)
            self._ended = block is None
            pieces.append(self._decode(block or b"", self._ended))
            length += len(pieces[-1])
            if length > self._needed:
                break
        self._text = "".join(pieces)

    def _fail(self, reason: str) -> NoReturn:
        line = self._line + self._text.count("\n", 0, self._at)
        message = f"{self._name}, line {line}: {reason}"
        raise SourceError(message)
