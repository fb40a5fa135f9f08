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

-- The same added up by product (weir_basket::days): a row holds a stretch of days and a share of the products.
CREATE TABLE removal_days (
  workspace bigint  NOT NULL,
  level     integer NOT NULL,   -- how long the stretch is (weir_basket::days::LENGTHS)
  number    integer NOT NULL,   -- which: its days divided by their length
  bucket    integer NOT NULL,   -- which share of the products
  sums      bytea   NOT NULL,
  PRIMARY KEY (workspace, level, number, bucket)
) WITH (fillfactor = 70, toast_tuple_target = 8160, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);
-- Read as a whole and often: unpacking them, or having them elsewhere, would take longer than reading.
ALTER TABLE removal_days ALTER COLUMN sums SET STORAGE EXTERNAL;

-- What batches have to add to those rows. It waits until there is enough of it: so a batch writes a row of its own, whoever
-- else writes, instead of hundreds that all write.
CREATE TABLE removal_days_new (
  workspace bigint  NOT NULL,
  partition integer NOT NULL,
  next      bigint  NOT NULL,   -- where the batch left the partition
  changes   bytea   NOT NULL,   -- weir_basket::days::Changes
  PRIMARY KEY (workspace, partition, next)
) WITH (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0,
        toast.autovacuum_vacuum_threshold = 1000, toast.autovacuum_vacuum_scale_factor = 0);
ALTER TABLE removal_days_new ALTER COLUMN changes SET STORAGE EXTERNAL;

-- Events that say nothing to be folded into a basket, and baskets set aside, by workspace and partition.
CREATE TABLE basket_counts (
  workspace bigint  NOT NULL,
  partition integer NOT NULL,
  what      text    NOT NULL,
  n         bigint  NOT NULL,
  PRIMARY KEY (workspace, partition, what)
);
