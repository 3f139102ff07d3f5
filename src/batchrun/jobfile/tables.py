"""`{csv: FILE}`: rows of a table, each a mapping from the names in the header row."""

import csv
import io
from collections.abc import Iterator

from batchrun.errors import SourceError
from batchrun.jobfile.feeder import Batches

__all__ = ["CsvReader"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: No line that anybody means is longer; a file without line ends is no table.
_LONGEST_LINE_BYTES = 1024 * 1024
#: What Python's reader says, and what is meant.
_REASONS = {
    "unexpected end of data": "a quote is never closed",
    "new-line character seen": "the lines end in a way that is not known here (only CR); "
    "convert them, for example with `tr '\\r' '\\n'`",
    "expected after": 'there is more text after a closing quote; write a quote in a value as ""',
    "field larger": "a value is longer than 128 KiB",
}


class _Lines:
    """The lines of a file, each with its line end, decoded as they are asked for."""

    def __init__(self, blocks: Iterator[bytes], name: str) -> None:
        self._blocks = blocks
        self._name = name
        self._rest = b""
        self._first = True
        self._ready: Iterator[str] = iter(())
        self.has_next = False
        self._next = ""
        self._ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.has_next:
            self._read()
        line = self._next
        self._advance()
        return line

    def _advance(self) -> None:
        self._next = next(self._ready, "")
        self.has_next = bool(self._next)

    def _read(self) -> None:
        """Read on until there is a whole line."""
        while not self.has_next:
            if self._ended:
                raise StopIteration
            text = self._whole_lines().decode("utf-8", "surrogateescape")
            self._ready = iter(io.StringIO(text, newline="\n"))
            self._advance()

    def _whole_lines(self) -> bytes:
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
            whole, self._rest = self._rest, b""
        else:
            whole, end, self._rest = (self._rest + block).rpartition(b"\n")
            whole += end
            if len(self._rest) > _LONGEST_LINE_BYTES:
                message = f"{self._name} has a line of more than 1 MiB; it is not a table"
                raise SourceError(message)
        if self._first and whole:
            self._first = False
            whole = whole.removeprefix(_BYTE_ORDER_MARK)
        return whole


class CsvReader:
    """Reads a table: comma-separated, quoted as in RFC 4180, the first row names the columns.

    Args:
        name: Of the file, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._line = 1

    def batches(self, blocks: Iterator[bytes]) -> Batches:
        """Yield the rows of blocks as they come; empty lines are left out.

        Raises:
            SourceError: a row does not fit the header, or is not written as CSV.
        """
        lines = _Lines(blocks, self._name)
        rows = self._rows(lines)
        header = next(rows, None)
        if header is None:
            return
        self._check(header)
        batch: list[dict[str, str]] = []
        for row in rows:
            if len(row) != len(header):
                yield batch
                raise self._ragged(row, header)
            batch.append(dict(zip(header, row, strict=True)))
            if not lines.has_next:
                yield batch
                batch = []
        yield batch

    def _rows(self, lines: _Lines) -> Iterator[list[str]]:
        """Yield rows; `_line` is where each begins."""
        reader = csv.reader(lines, strict=True)
        try:
            for row in reader:
                if row:
                    yield row
                self._line = reader.line_num + 1
        except csv.Error as error:
            said = str(error)
            reason = next((why for word, why in _REASONS.items() if word in said), said)
            raise self._error(reason) from None

    def _check(self, header: list[str]) -> None:
        for at, column in enumerate(header):
            if not column.strip():
                reason = f"column {at + 1} has no name; the first row must name every column"
                raise self._error(reason)
            if column in header[:at]:
                reason = f"two columns have the name `{column}`; give each its own"
                raise self._error(reason)

    def _ragged(self, row: list[str], header: list[str]) -> SourceError:
        return self._error(
            f"there are {_values(len(row))}, but the header names {len(header)} columns; "
            "put a value that has a comma in double quotes"
        )

    def _error(self, reason: str) -> SourceError:
        return SourceError(f"{self._name}, line {self._line}: {reason}")


def _values(count: int) -> str:
    return f"{count} value" if count == 1 else f"{count} values"
