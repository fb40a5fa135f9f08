-- What is folded from whole events besides: baskets. Instants are microseconds since 1970, days are counted from 1970-01-01.

-- The basket events of a profile, in their order (weir_basket::History): a late one may change everything after it.
CREATE TABLE baskets (
  workspace bigint  NOT NULL,
  profile   uuid    NOT NULL,
  state     bytea   NOT NULL,
  PRIMARY KEY (workspace, profile)
);

-- What was taken out of baskets. `place` sorts as the events that did it do, by when first of all.
CREATE TABLE removals (
  workspace bigint  NOT NULL,
  draft     boolean NOT NULL,   -- no order has come after it
  place     bytea   NOT NULL,
  profile   uuid    NOT NULL,
  product   text    COLLATE "C" NOT NULL,
  removal   bytea   NOT NULL,   -- weir_basket::Removal
  PRIMARY KEY (workspace, draft, place, profile, product)
);
CREATE INDEX removals_by_product ON removals (workspace, product, draft, place, profile);

-- The same added up by product and day (weir_basket::days): 32 days and a share of the products in one row. Each partition
-- has rows of its own, so that no projector waits for another one.
CREATE TABLE removal_days (
  workspace bigint  NOT NULL,
  block     integer NOT NULL,   -- the day divided by 32
  bucket    smallint NOT NULL,   -- which share of the products
  partition integer NOT NULL,
  cells     bytea   NOT NULL,
  PRIMARY KEY (workspace, block, bucket, partition)
);
-- Read as a whole and often: unpacking would take longer than reading.
ALTER TABLE removal_days ALTER COLUMN cells SET STORAGE EXTERNAL;

-- Events that say nothing to be folded into a basket, and baskets set aside, by workspace and partition.
CREATE TABLE basket_counts (
  workspace bigint  NOT NULL,
  partition integer NOT NULL,
  what      text    NOT NULL,
  n         bigint  NOT NULL,
  PRIMARY KEY (workspace, partition, what)
);
