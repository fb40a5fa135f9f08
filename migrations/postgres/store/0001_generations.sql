-- What the store as a whole knows. One row here, ever.
CREATE TABLE store (
  one     smallint NOT NULL PRIMARY KEY CHECK (one = 1),
  lineage uuid,                 -- of the log that it was filled from; another is refused
  live    bigint                -- the generation that is read; null before the first is complete
);
INSERT INTO store (one) VALUES (1);

-- Each generation has a schema of its own (<schema>_g<id>). No id is used twice.
CREATE TABLE generations (
  id         bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  bound      bigint NOT NULL,   -- its definition set: definitions written before this offset of control.v1
  created_at bigint NOT NULL    -- microseconds
);

-- The log's end as the projector last saw it, for those who can't see the log.
CREATE TABLE log_ends (
  stream    text    NOT NULL,
  partition integer NOT NULL,
  next      bigint  NOT NULL,
  seen_at   bigint  NOT NULL,   -- microseconds
  PRIMARY KEY (stream, partition)
) WITH (fillfactor = 50);
