"""The tables: of the record of one run, and of the index of runs."""

from batchrun.journal.database import Schema
from batchrun.model.outcome import KINDS

__all__ = [
    "ATTEMPT_COLUMNS",
    "INDEX",
    "KEPT_COLUMNS",
    "KIND_NUMBERS",
    "OUTPUT_COLUMNS",
    "RECORD",
    "UNWELL",
]

#: How outcomes are written. Only ever append: old records are read by their numbers.
KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}

#: What the index `unwell` holds: not ok, not skipped.
UNWELL = "is_final AND kind NOT IN (0, 7)"

#: In the order in which rows are written.
ATTEMPT_COLUMNS = (
    "seq", "number", "task", "position", "label", "operation", "identity", "command", "attempt",
    "is_final", "kind", "changed", "ignored", "exit_status", "started_at", "duration_s", "delay_s",
    "worker", "bytes_done", "detail", "host",
)  # fmt: skip
OUTPUT_COLUMNS = ("seq", "stream", "head", "tail", "omitted_bytes")
KEPT_COLUMNS = ("seq", "name", "hidden", "outcome", "data")

_RECORD_1 = """
CREATE TABLE run (
  id TEXT NOT NULL,
  job TEXT NOT NULL,
  job_file BLOB,
  base_dir BLOB,
  text BLOB,
  variables TEXT NOT NULL,
  options TEXT NOT NULL,
  command_line TEXT NOT NULL,
  started_at REAL NOT NULL,
  now REAL NOT NULL,
  shown_id TEXT NOT NULL,
  previous TEXT NOT NULL,
  continues TEXT NOT NULL,
  host TEXT NOT NULL,
  user TEXT NOT NULL,
  pid INTEGER NOT NULL,
  version TEXT NOT NULL,
  python TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  procs INTEGER,
  ended_at REAL,
  duration_s REAL,
  exit_code INTEGER,
  stopped TEXT,
  -- Brought up to date with each batch of attempts, so that nobody has to read them all.
  last_at REAL,
  slowest TEXT NOT NULL DEFAULT '[]'
);
CREATE TABLE tasks (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  printed INTEGER NOT NULL DEFAULT 0,
  opened INTEGER NOT NULL DEFAULT 0,
  total INTEGER,
  good INTEGER,
  not_expanded TEXT NOT NULL DEFAULT '',
  source_error TEXT NOT NULL DEFAULT '',
  planned INTEGER,
  done_before INTEGER NOT NULL DEFAULT 0,
  tally TEXT NOT NULL DEFAULT '{}'
);
-- One row for each attempt that ended; the last one of a unit is final.
-- No index on identity: it would cut the rate of inserts to a tenth, and is read whole anyway.
CREATE TABLE attempts (
  seq INTEGER PRIMARY KEY,
  number INTEGER NOT NULL,
  task INTEGER NOT NULL,
  position INTEGER NOT NULL,
  label,
  operation TEXT NOT NULL,
  identity BLOB,
  command,
  attempt INTEGER NOT NULL,
  is_final INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  ignored INTEGER NOT NULL,
  exit_status INTEGER,
  started_at REAL,
  duration_s REAL NOT NULL,
  delay_s REAL,
  worker TEXT,
  bytes_done INTEGER NOT NULL,
  detail TEXT
);
-- What did not end ok, nor was skipped: few, and asked for first. Costs the others nothing.
CREATE INDEX unwell ON attempts(seq) WHERE is_final AND kind NOT IN (0, 7);
CREATE TABLE outputs (
  seq INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  head BLOB NOT NULL,
  tail BLOB NOT NULL,
  omitted_bytes INTEGER NOT NULL,
  PRIMARY KEY (seq, stream)
) WITHOUT ROWID;
-- What units that ended well have registered, for runs that go on with this one.
CREATE TABLE results (
  seq INTEGER NOT NULL,
  name TEXT NOT NULL,
  hidden INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  data BLOB NOT NULL
);
CREATE TABLE notes (
  seq INTEGER NOT NULL,
  level TEXT NOT NULL,
  task TEXT NOT NULL,
  message TEXT NOT NULL
);
"""

# The host that a unit is for; NULL: none. No index: hosts are asked for by people, not by runs.
_RECORD_2 = """
ALTER TABLE attempts ADD COLUMN host TEXT;
"""

#: The record of one run ("bRrn").
RECORD = Schema(name="record", application_id=0x6252726E, steps=(_RECORD_1, _RECORD_2))

_INDEX_1 = """
CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  job TEXT NOT NULL,
  job_file BLOB,
  started_at REAL NOT NULL,
  ended_at REAL,
  duration_s REAL,
  exit_code INTEGER,
  stopped TEXT NOT NULL DEFAULT '',
  counts TEXT,
  previous TEXT NOT NULL DEFAULT '',
  continues TEXT NOT NULL DEFAULT '',
  size_bytes INTEGER
) WITHOUT ROWID;
"""

#: The index of runs ("bRix"); what it loses is found in the records.
INDEX = Schema(
    name="index of runs", application_id=0x62526978, steps=(_INDEX_1,), synchronous="NORMAL"
)
