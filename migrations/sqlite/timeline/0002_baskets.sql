-- What is folded from whole events besides: baskets. Instants are microseconds since 1970, days are counted from 1970-01-01.

-- The basket events of a profile, in their order (weir_basket::History): a late one may change everything after it.
CREATE TABLE baskets (
  workspace INTEGER NOT NULL,
  profile   BLOB    NOT NULL,
  state     BLOB    NOT NULL,
  PRIMARY KEY (workspace, profile)
) STRICT, WITHOUT ROWID;

-- What was taken out of baskets. `place` sorts as the events that did it do, by when first of all.
CREATE TABLE removals (
  workspace INTEGER NOT NULL,
  draft     INTEGER NOT NULL,   -- no order has come after it
  place     BLOB    NOT NULL,
  profile   BLOB    NOT NULL,
  product   TEXT    NOT NULL,
  removal   BLOB    NOT NULL,   -- weir_basket::Removal
  PRIMARY KEY (workspace, draft, place, profile, product)
) STRICT, WITHOUT ROWID;
CREATE INDEX removals_by_product ON removals (workspace, product, draft, place, profile);

-- The same added up by product (weir_basket::days): a row holds a stretch of days and a share of the products. The key is an
-- index of its own: rows of this size would mostly not fit into its pages.
CREATE TABLE removal_days (
  workspace INTEGER NOT NULL,
  level     INTEGER NOT NULL,   -- how long the stretch is (weir_basket::days::LENGTHS)
  number    INTEGER NOT NULL,   -- which: its days divided by their length
  bucket    INTEGER NOT NULL,   -- which share of the products
  sums      BLOB    NOT NULL,
  PRIMARY KEY (workspace, level, number, bucket)
) STRICT;

-- What batches have to add to those rows. It waits until there is enough of it, so that rows aren't written with every batch.
CREATE TABLE removal_days_new (
  workspace INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  next      INTEGER NOT NULL,   -- where the batch left the partition
  changes   BLOB    NOT NULL,   -- weir_basket::days::Changes
  PRIMARY KEY (workspace, partition, next)
) STRICT, WITHOUT ROWID;

-- Events that say nothing to be folded into a basket, and baskets set aside, by workspace and partition.
CREATE TABLE basket_counts (
  workspace INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  what      TEXT    NOT NULL,
  n         INTEGER NOT NULL,
  PRIMARY KEY (workspace, partition, what)
) STRICT, WITHOUT ROWID;
