-- Every admitted record whole. In a file of its own: this is the heavy write, and must not hold up memberships.

CREATE TABLE positions (
  projection     TEXT    NOT NULL,
  stream         TEXT    NOT NULL,
  partition      INTEGER NOT NULL,
  next           INTEGER NOT NULL,
  newest_receipt INTEGER,
  PRIMARY KEY (projection, stream, partition)
) STRICT, WITHOUT ROWID;

-- In log order, so that writing is appending.
CREATE TABLE records (
  partition  INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  record     BLOB    NOT NULL,
  PRIMARY KEY (partition, log_offset)
) STRICT, WITHOUT ROWID;

-- A profile's records in the order of events: `place` sorts as (at, time, id, receipt) does.
CREATE TABLE timeline (
  workspace  INTEGER NOT NULL,
  profile    BLOB    NOT NULL,
  place      BLOB    NOT NULL,
  partition  INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  PRIMARY KEY (workspace, profile, place, partition, log_offset)
) STRICT, WITHOUT ROWID;
