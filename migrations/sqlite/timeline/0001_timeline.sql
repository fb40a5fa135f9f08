-- Every admitted record whole. In a file of its own: this is the heavy write, and must not hold up memberships.

CREATE TABLE positions (
  projection     TEXT    NOT NULL,
  stream         TEXT    NOT NULL,
  partition      INTEGER NOT NULL,
  next           INTEGER NOT NULL,
  newest_receipt INTEGER,
  owner          BLOB,
  hold           INTEGER,
  held_until     INTEGER,
  PRIMARY KEY (projection, stream, partition)
) STRICT, WITHOUT ROWID;

-- In log order, so that writing is appending.
CREATE TABLE records (
  partition  INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  record     BLOB    NOT NULL,
  PRIMARY KEY (partition, log_offset)
) STRICT, WITHOUT ROWID;

-- A profile's records in the order of events: `place` sorts as (at, time, id, receipt) does. New ones wait in the first
-- table for others of their page and then move to the second. Profiles come first, so that a stretch of them is one
-- stretch of either table.
CREATE TABLE timeline_new (
  profile    BLOB    NOT NULL,
  workspace  INTEGER NOT NULL,
  place      BLOB    NOT NULL,
  partition  INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  PRIMARY KEY (profile, workspace, place, partition, log_offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE timeline (
  profile    BLOB    NOT NULL,
  workspace  INTEGER NOT NULL,
  place      BLOB    NOT NULL,
  partition  INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  PRIMARY KEY (profile, workspace, place, partition, log_offset)
) STRICT, WITHOUT ROWID;
