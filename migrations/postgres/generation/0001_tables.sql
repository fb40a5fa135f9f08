-- The tables of one generation. Instants are microseconds since 1970; 9223372036854775807 is never.
--
-- Updates in place stay on their page (HOT) where it has room and no index holds what changes: hence the fill factors,
-- and no index but the keys. Tables of few rows that change at every batch are vacuumed after few changes.

-- How far each projection has come, the timeline too. The fence: a batch moves `next` from what it expects, or is
-- rolled back.
CREATE TABLE positions (
  projection     text    NOT NULL,
  stream         text    NOT NULL,
  partition      integer NOT NULL,
  next           bigint  NOT NULL,
  newest_receipt bigint,
  PRIMARY KEY (projection, stream, partition)
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- control.v1, record by record; readers fold it as ingest and the projector do.
CREATE TABLE control (
  log_offset bigint NOT NULL PRIMARY KEY,
  record     bytea  NOT NULL
);

-- What a profile shows: state bytes with facts and counters only. Written when one of those changes, which most events
-- don't do.
CREATE TABLE profiles (
  workspace bigint NOT NULL,
  profile   uuid   NOT NULL,
  card      bytea  NOT NULL,
  PRIMARY KEY (workspace, profile)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- The fold's own memory, read by nobody else. A batch appends the rows that it changed to state_redo, whole, and moves
-- the rows of a stretch of profiles that have waited longest into `states`. A row is in the last redo that has it, else
-- in `states`.
CREATE TABLE state_redo (
  partition integer NOT NULL,
  next      bigint  NOT NULL,   -- where the batch left the partition
  rows      bytea   NOT NULL,
  PRIMARY KEY (partition, next)
) WITH (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0,
        toast.autovacuum_vacuum_threshold = 20000, toast.autovacuum_vacuum_scale_factor = 0);
-- Megabytes that are deleted soon: compressing them costs more than writing them.
ALTER TABLE state_redo ALTER COLUMN rows SET STORAGE EXTERNAL;

-- A profile as sent: its folded state, the spans that a later record can change, and the ids that it has seen lately.
CREATE TABLE states (
  workspace   bigint  NOT NULL,
  profile     uuid    NOT NULL,
  last_offset bigint  NOT NULL, -- of the last record folded; folding one at or below it stops the partition
  state       bytea   NOT NULL,
  open_spans  bytea   NOT NULL,
  event_ids   bytea   NOT NULL,
  id_chunks   integer NOT NULL, -- how many rows of event_ids it has besides
  PRIMARY KEY (workspace, profile)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- Event ids of profiles that send many: full chunks, moved out of the row above.
CREATE TABLE event_ids (
  workspace bigint NOT NULL,
  profile   uuid   NOT NULL,
  chunk     bigint NOT NULL,    -- offset of the record that filled it
  newest    bigint NOT NULL,    -- the latest arrival in it
  ids       bytea  NOT NULL,
  PRIMARY KEY (workspace, profile, chunk)
);

-- Membership: who is in which segment version from when until when, in the order in which members are listed.
-- `past`: had ended when it was written.
CREATE TABLE spans (
  segment   bigint  NOT NULL,
  past      boolean NOT NULL,
  enters_at bigint  NOT NULL,
  profile   uuid    NOT NULL,
  leaves_at bigint  NOT NULL,
  PRIMARY KEY (segment, past, enters_at, profile)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- The same spans by profile.
CREATE TABLE profile_spans (
  profile   uuid    NOT NULL,
  segment   bigint  NOT NULL,
  enters_at bigint  NOT NULL,
  past      boolean NOT NULL,
  leaves_at bigint  NOT NULL,
  PRIMARY KEY (profile, segment, enters_at)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- The same spans summed up over stretches of time (the crate's README says how), so that a count adds a few hundred
-- rows and a list steps over stretches that nobody is left in.
CREATE TABLE span_tree (
  segment    bigint   NOT NULL,
  level      smallint NOT NULL, -- a stretch is 2^level microseconds long
  bucket     bigint   NOT NULL, -- the stretch: instant >> level
  partition  integer  NOT NULL,
  delta      bigint   NOT NULL, -- members entering less members leaving in it
  rows       bigint   NOT NULL, -- spans with past = false that enter in it
  last_leave bigint   NOT NULL, -- none of those leaves later
  past_rows  bigint   NOT NULL, -- the same of spans with past = true
  past_leave bigint   NOT NULL,
  PRIMARY KEY (segment, level, bucket, partition)
) WITH (fillfactor = 90, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0.02);

-- Points, most first: the key sorts downwards.
CREATE TABLE scores (
  score   bigint NOT NULL,
  place   bytea  NOT NULL,
  profile uuid   NOT NULL,
  PRIMARY KEY (score, place, profile)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- Repeats, conflicts and quarantined records by workspace (-1: of none that is known) and partition.
CREATE TABLE counts (
  workspace bigint  NOT NULL,
  partition integer NOT NULL,
  what      text    NOT NULL,
  n         bigint  NOT NULL,
  PRIMARY KEY (workspace, partition, what)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Offsets that were not admitted; the timeline leaves them out.
CREATE TABLE not_admitted (
  partition  integer NOT NULL,
  log_offset bigint  NOT NULL,
  PRIMARY KEY (partition, log_offset)
);

-- Records that no projection can take in.
CREATE TABLE quarantine (
  stream     text    NOT NULL,
  partition  integer NOT NULL,
  log_offset bigint  NOT NULL,
  reason     bytea   NOT NULL, -- UTF-8: text can hold no NUL, a reason may
  record     bytea   NOT NULL,
  PRIMARY KEY (stream, partition, log_offset)
);
