-- The batches from the one that holds ?1 on, below ?2 (the end announced), until their sizes reach ?3: at least one.
-- The sizes are summed first, from batch to batch and from the rows' heads alone, so that no blob is read in vain.
WITH RECURSIVE run (first, next, size) AS (
    SELECT first, first + count, length(bytes) FROM $TABLE
    WHERE first = (SELECT max(first) FROM $TABLE WHERE first <= ?1)
    UNION ALL
    SELECT batch.first, batch.first + batch.count, run.size + length(batch.bytes)
    FROM run JOIN $TABLE AS batch ON batch.first = run.next
    WHERE run.size < ?3 AND batch.first < ?2
    LIMIT 5000
)
SELECT first, count, checksum, bytes FROM $TABLE
WHERE first >= (SELECT max(first) FROM $TABLE WHERE first <= ?1) AND first <= (SELECT max(first) FROM run)
ORDER BY first
