"""SQLite, as it is used here: how databases are opened, set up and brought up to date.

A newer schema than this program knows is refused by name: guessing could damage the record. An
older one is brought up to date step by step when it is opened for writing, and read as it is
when it is only read, in memory, so that looking back changes nothing.
"""

import mmap
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from batchrun.errors import JournalError

__all__ = [
    "Schema",
    "flaw",
    "is_damage",
    "open_for_reading",
    "open_for_writing",
    "reason",
    "seal",
    "transaction",
]

_NEWER = "it was written by a newer batchrun"
#: How long another process may hold a database before we give up, in seconds.
BUSY_S = 30.0
#: Reads as little as possible, but does read.
_LOOK = "SELECT count(*) FROM sqlite_master"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One kind of database: its marks in the file's head, and how it came to be."""

    #: What it is called in messages.
    name: str
    #: SQLite's `application_id`.
    application_id: int
    #: Scripts; each leads from the version that is its index to the next one.
    steps: Sequence[str]
    #: How sure a commit is: `FULL` outlives a power cut; `NORMAL` may lose the last ones.
    synchronous: Literal["FULL", "NORMAL"] = "FULL"

    @property
    def version(self) -> int:
        """The newest version."""
        return len(self.steps)


def open_for_writing(path: Path, schema: Schema, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """Open a database and bring it up to date; one that is not there is made, for its owner only.

    Args:
        path: Where it is.
        schema: What it is.
        busy_s: How long another process may hold it, in seconds.

    Raises:
        JournalError: it is newer than this program, or is something else.
        OSError: the file cannot be made.
        sqlite3.Error: it cannot be read or written.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = _connect(path, busy_s)
    try:
        version = _version(connection, path, schema)
        if not version:
            _set_up(connection, path)
        connection.execute(f"PRAGMA synchronous={schema.synchronous}")
        # What it needs to take back one statement of many: of a large batch that would go to a
        # file where temporary files go, and whether there is room must not decide what is kept.
        connection.execute("PRAGMA temp_store=MEMORY")
        if version < schema.version:
            _upgrade(connection, schema)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path, schema: Schema, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """Open a database without changing it.

    Args:
        path: Where it is.
        schema: What it is.
        busy_s: How long another process may hold it, in seconds.

    Raises:
        JournalError: it is not there, is newer than this program, is damaged or something else.
    """
    try:
        connection = _open_read_only(path, busy_s)
        try:
            version = _version(connection, path, schema)
            return connection if version == schema.version else _upgraded(connection, schema)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
        why = _why(error)
        message = f"the {schema.name} {path} cannot be read: {why}"
        raise JournalError(message, reason=why) from error


def _open_read_only(path: Path, busy_s: float) -> sqlite3.Connection:
    if not path.exists():
        message = "there is no such file"
        raise sqlite3.OperationalError(message)
    address = f"file:{quote(os.fsencode(path))}?mode=ro"
    try:
        return _read_through(address, busy_s)
    except sqlite3.OperationalError:
        if not os.access(path.parent, os.W_OK):
            # There nobody writes, and SQLite has no place for what it needs to make sure of that.
            return _read_through(f"{address}&immutable=1", busy_s)
        # Whoever wrote it may have been killed in the middle of that, and what it has not
        # finished is to be taken back first.
        with closing(_connect(path, busy_s)) as connection:
            connection.execute(_LOOK).fetchone()
        return _read_through(address, busy_s)


def _read_through(address: str, busy_s: float) -> sqlite3.Connection:
    """Open a database by its address, and make sure that it can be read."""
    connection = sqlite3.connect(address, uri=True, timeout=busy_s, check_same_thread=False)
    try:
        connection.execute(_LOOK).fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, busy_s: float) -> sqlite3.Connection:
    # Made in one thread, used in another, never in two at once.
    return sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    """Choose how it is written: write-ahead where the file system can do that.

    Of a database that others may have open that is never changed.
    """
    if not _has_shared_memory(path.parent):
        connection.execute("PRAGMA journal_mode=TRUNCATE").fetchone()
        return
    # The step to the other mode rewrites the first page, by the mode before. That page is all there
    # is: to keep a copy of it on disk meanwhile takes three waits for the disk of four.
    connection.execute("PRAGMA journal_mode=MEMORY").fetchone()
    connection.execute("PRAGMA journal_mode=WAL").fetchone()


def _has_shared_memory(directory: Path) -> bool:
    """Try what the write-ahead log needs, and some network file systems do not have.

    SQLite does not try: it marks the database first, and can then not open it any more.
    """
    descriptor, name = tempfile.mkstemp(dir=directory, suffix="-shm")
    try:
        os.unlink(name)
        os.ftruncate(descriptor, mmap.PAGESIZE)
        mmap.mmap(descriptor, mmap.PAGESIZE).close()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def seal(connection: sqlite3.Connection) -> None:
    """Make one plain file of a database to which nothing will be added.

    Otherwise each reader would leave files of the write-ahead log beside it. While somebody reads
    it that is not possible, and not needed.

    What was added is in the file by then, on disk. Last, two bytes of its first page say so: the
    mode that keeps no copy of that page on disk meanwhile waits for the disk three times less.
    """
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA busy_timeout=100").fetchone()
        connection.execute("PRAGMA journal_mode=MEMORY").fetchone()


def _version(connection: sqlite3.Connection, path: Path, schema: Schema) -> int:
    """Read the version of a database.

    Raises:
        JournalError: it is newer than this program, or is something else.
    """
    # First, because another process may be making ours: its marks are there when its tables are.
    (tables,) = connection.execute(_LOOK).fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != schema.application_id and (application or version or tables):
        message = f"{path} is not a {schema.name} of batchrun"
        raise JournalError(message, reason=f"it is not a {schema.name} of batchrun")
    if version > schema.version:
        message = (
            f"the {schema.name} {path} was written by a newer batchrun (version {version}, this "
            f"one knows {schema.version}); use that one to read it"
        )
        raise JournalError(message, reason=_NEWER)
    return int(version)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all that the block writes, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # some errors have ended it
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection, schema: Schema) -> None:
    """Bring a database up to date, one step after the other, all of it or nothing."""
    with transaction(connection):
        # Looked at once more: another process may have done it meanwhile.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for step in schema.steps[version:]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={schema.application_id}")
        connection.execute(f"PRAGMA user_version={schema.version}")


def _statements(script: str) -> Iterator[str]:
    """Take a script apart; `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _upgraded(connection: sqlite3.Connection, schema: Schema) -> sqlite3.Connection:
    """Return an up-to-date copy, in memory, of an older database."""
    with closing(connection):
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            connection.backup(copy)
            _upgrade(copy, schema)
        except BaseException:
            copy.close()
            raise
    return copy


def flaw(path: Path, schema: Schema) -> str:
    """Say what is wrong with a database as far as its first bytes and its size show it.

    Costs next to nothing. Empty: nothing that shows there. While a write-ahead log stands beside
    it, the file alone says little.

    Source: "The Database Header" of SQLite's file format.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        return _REASONS[sqlite3.SQLITE_NOTADB]
    if head[18] != 1:
        return ""
    page_bytes = int.from_bytes(head[16:18]) if head[16:18] != b"\0\x01" else 65536
    if size < page_bytes * int.from_bytes(head[28:32]):
        return _REASONS[sqlite3.SQLITE_CORRUPT]
    if int.from_bytes(head[68:72]) != schema.application_id:
        return f"it is not a {schema.name} of batchrun"
    return _NEWER if int.from_bytes(head[60:64]) > schema.version else ""


def is_damage(error: sqlite3.Error) -> bool:
    """Say whether an error means that the file holds no database, or no sound one."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _why(error: Exception) -> str:
    match error:
        case sqlite3.Error():
            return reason(error)
        case OSError():
            return os.strerror(error.errno or 0)
        case _:  # sqlite3 cannot even say what is wrong when damage is part of the message
            return _REASONS[sqlite3.SQLITE_CORRUPT]


def reason(error: sqlite3.Error) -> str:
    """Say what SQLite means, for people."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return str(error)
    return _REASONS.get(code & 0xFF, str(error))


_REASONS = {
    sqlite3.SQLITE_FULL: "no space left on device",
    sqlite3.SQLITE_BUSY: f"another process has held it for {BUSY_S:g} s",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is damaged, or is no database",
    sqlite3.SQLITE_READONLY: "it cannot be written to",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_IOERR: "input/output error",
}
