-- The tables of one generation. Instants are microseconds since 1970; 9223372036854775807 is never.

-- How far each projection has come. The fence: a batch moves `next` from what it expects, as the owner, and not beyond
-- a hold; or it is rolled back.
CREATE TABLE positions (
  projection     TEXT    NOT NULL,
  stream         TEXT    NOT NULL,
  partition      INTEGER NOT NULL,
  next           INTEGER NOT NULL,
  newest_receipt INTEGER,
  owner          BLOB,                -- who claimed the partition last; null: nobody yet
  hold           INTEGER,             -- `next` may not pass this
  held_until     INTEGER,             -- for so long, in microseconds
  PRIMARY KEY (projection, stream, partition)
) STRICT, WITHOUT ROWID;

-- control.v1, record by record; readers fold it as ingest and the projector do.
CREATE TABLE control (
  log_offset INTEGER NOT NULL PRIMARY KEY,
  record     BLOB    NOT NULL
) STRICT;

-- What a profile shows: state bytes with facts and counters only. Written when one of those changes, which most events
-- don't do.
CREATE TABLE profiles (
  workspace INTEGER NOT NULL,
  profile   BLOB    NOT NULL,
  card      BLOB    NOT NULL,
  PRIMARY KEY (workspace, profile)
) STRICT, WITHOUT ROWID;

-- The fold's own memory, read by nobody else. A batch appends the rows that it changed to state_redo, whole, and moves
-- the rows of a stretch of profiles that have waited longest into `states`: writing each row where it belongs at every
-- batch would dirty a page per event (the crate's README has the figures). A row is in the last redo that has it, else
-- in `states`.
CREATE TABLE state_redo (
  partition INTEGER NOT NULL,
  next      INTEGER NOT NULL,   -- where the batch left the partition
  rows      BLOB    NOT NULL,
  PRIMARY KEY (partition, next)
) STRICT, WITHOUT ROWID;

-- A profile as sent: its folded state, the spans that a later record can change, and the ids that it has seen lately.
CREATE TABLE states (
  workspace   INTEGER NOT NULL,
  profile     BLOB    NOT NULL,
  last_offset INTEGER NOT NULL,   -- of the last record folded; folding one at or below it stops the partition
  state       BLOB    NOT NULL,
  open_spans  BLOB    NOT NULL,
  event_ids   BLOB    NOT NULL,
  id_chunks   INTEGER NOT NULL,   -- how many rows of event_ids it has besides
  PRIMARY KEY (workspace, profile)
) STRICT, WITHOUT ROWID;

-- Event ids of profiles that send many: full chunks, moved out of the row above.
CREATE TABLE event_ids (
  workspace   INTEGER NOT NULL,
  profile     BLOB    NOT NULL,
  chunk       INTEGER NOT NULL,   -- offset of the record that filled it
  newest      INTEGER NOT NULL,   -- the latest arrival in it
  ids         BLOB    NOT NULL,
  PRIMARY KEY (workspace, profile, chunk)
) STRICT, WITHOUT ROWID;

-- Membership: who is in which segment version from when until when, in the order in which members are listed.
-- `past`: had ended when it was written.
CREATE TABLE spans (
  segment   INTEGER NOT NULL,
  past      INTEGER NOT NULL,
  enters_at INTEGER NOT NULL,
  profile   BLOB    NOT NULL,
  leaves_at INTEGER NOT NULL,
  PRIMARY KEY (segment, past, enters_at, profile)
) STRICT, WITHOUT ROWID;

-- The same spans by profile. New ones wait in the first table for others of their page and then move to the second;
-- one that waits counts instead of one that has moved.
CREATE TABLE profile_spans_new (
  profile   BLOB    NOT NULL,
  segment   INTEGER NOT NULL,
  enters_at INTEGER NOT NULL,
  past      INTEGER NOT NULL,
  leaves_at INTEGER,              -- null: the span is no more
  PRIMARY KEY (profile, segment, enters_at)
) STRICT, WITHOUT ROWID;
CREATE TABLE profile_spans (
  profile   BLOB    NOT NULL,
  segment   INTEGER NOT NULL,
  enters_at INTEGER NOT NULL,
  past      INTEGER NOT NULL,
  leaves_at INTEGER NOT NULL,
  PRIMARY KEY (profile, segment, enters_at)
) STRICT, WITHOUT ROWID;

-- The same spans summed up over stretches of time (the crate's README says how), so that a count adds a few hundred
-- rows and a list steps over stretches that nobody is left in.
CREATE TABLE span_tree (
  segment     INTEGER NOT NULL,
  level       INTEGER NOT NULL,   -- a stretch is 2^level microseconds long
  bucket      INTEGER NOT NULL,   -- the stretch: instant >> level
  partition   INTEGER NOT NULL,
  delta       INTEGER NOT NULL,   -- members entering less members leaving in it
  rows        INTEGER NOT NULL,   -- spans with past = 0 that enter in it
  last_leave  INTEGER NOT NULL,   -- none of those leaves later
  past_rows   INTEGER NOT NULL,   -- the same of spans with past = 1
  past_leave  INTEGER NOT NULL,
  PRIMARY KEY (segment, level, bucket, partition)
) STRICT, WITHOUT ROWID;

-- Points, most first: the key sorts downwards.
CREATE TABLE scores (
  score   INTEGER NOT NULL,
  place   BLOB    NOT NULL,
  profile BLOB    NOT NULL,
  PRIMARY KEY (score, place, profile)
) STRICT, WITHOUT ROWID;

-- Repeats, conflicts and quarantined records by workspace (-1: of none that is known) and partition.
CREATE TABLE counts (
  workspace INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  what      TEXT    NOT NULL,
  n         INTEGER NOT NULL,
  PRIMARY KEY (workspace, partition, what)
) STRICT, WITHOUT ROWID;

-- Offsets that were not admitted; the timeline leaves them out.
CREATE TABLE not_admitted (
  partition  INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  PRIMARY KEY (partition, log_offset)
) STRICT, WITHOUT ROWID;

-- Records that no projection can take in.
CREATE TABLE quarantine (
  stream     TEXT    NOT NULL,
  partition  INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  reason     TEXT    NOT NULL,
  record     BLOB    NOT NULL,
  PRIMARY KEY (stream, partition, log_offset)
) STRICT, WITHOUT ROWID;
