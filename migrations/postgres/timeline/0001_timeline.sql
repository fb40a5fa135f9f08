-- Every admitted record whole. In the generation's schema; its position is in that one's table.

-- In log order, so that writing is appending.
CREATE TABLE records (
  partition  integer NOT NULL,
  log_offset bigint  NOT NULL,
  record     bytea   NOT NULL,
  PRIMARY KEY (partition, log_offset)
);

-- A profile's records in the order of events: `place` sorts as (at, time, id, receipt) does.
CREATE TABLE timeline (
  profile    uuid    NOT NULL,
  workspace  bigint  NOT NULL,
  place      bytea   NOT NULL,
  partition  integer NOT NULL,
  log_offset bigint  NOT NULL,
  PRIMARY KEY (profile, workspace, place, partition, log_offset)
);
