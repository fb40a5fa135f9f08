-- What the store as a whole knows. One row here, ever.
CREATE TABLE store (
  one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  lineage BLOB,                 -- of the log that it was filled from; another is refused
  live    INTEGER               -- the generation that is read; null before the first is complete
) STRICT;
INSERT INTO store (one) VALUES (1);

-- Each generation has a file of its own (store.db.<id>), and one for its timeline. No id is used twice.
CREATE TABLE generations (
  id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  bound      INTEGER NOT NULL,  -- its definition set: definitions written before this offset of control.v1
  created_at INTEGER NOT NULL,  -- microseconds
  purpose    TEXT    NOT NULL   -- switch: read as soon as it has caught up; rebuild: when an operator says so
) STRICT;

-- Rebuilds: who asked for what, and what became of it.
CREATE TABLE rebuilds (
  id       BLOB    NOT NULL PRIMARY KEY,
  revision INTEGER NOT NULL,
  note     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- The log's end as the projector last saw it, for those who can't see the log.
CREATE TABLE log_ends (
  stream    TEXT    NOT NULL,
  partition INTEGER NOT NULL,
  next      INTEGER NOT NULL,
  seen_at   INTEGER NOT NULL,   -- microseconds
  PRIMARY KEY (stream, partition)
) STRICT, WITHOUT ROWID;
