-- The batches from the one that holds ?1 on, below ?2 (the end announced), until their sizes reach ?3: at least one.
-- The sizes are summed first, from the rows' heads alone, so that no blob is read in vain.
WITH start (first) AS (
    SELECT coalesce((SELECT max(first) FROM $TABLE WHERE first <= ?1), ?1)
),
sizes (first, size) AS (
    SELECT first, length(bytes) FROM $TABLE
    WHERE first >= (SELECT first FROM start) AND first < ?2
    ORDER BY first LIMIT 1000
),
sums (first, before) AS (
    SELECT first, coalesce(sum(size) OVER (ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
    FROM sizes
)
SELECT first, count, checksum, bytes FROM $TABLE
WHERE first >= (SELECT first FROM start) AND first <= (SELECT max(first) FROM sums WHERE before < ?3)
ORDER BY first
