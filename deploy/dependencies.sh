#!/usr/bin/env bash
# Who may know whom: proves the rules of docs/ARCHITECTURE.md from what Cargo really resolves.
set -euo pipefail
cd "$(dirname "$0")/.."

# A crate and those of ours that it may depend on directly (tests apart).
rules='
weir-event:
weir-segment: weir-event
weir-basket: weir-event
weir-control: weir-event weir-segment
weir-event-log: weir-event
weir-store: weir-event weir-segment weir-basket weir-control
weir-lifecycle:
weir-http: weir-event weir-control weir-lifecycle
weir-ingest: weir-event weir-control weir-segment weir-event-log weir-lifecycle weir-http
weir-projector: weir-event weir-control weir-segment weir-basket weir-event-log weir-store weir-lifecycle weir-http
weir-query-api: weir-event weir-control weir-segment weir-basket weir-store weir-lifecycle weir-http
'
failed=0
complain() { echo "dependencies: $*" >&2; failed=1; }

direct() { cargo tree --locked --package "$1" --edges normal --depth 1 --prefix none --format '{p}' | awk 'NR > 1 {print $1}' | sort -u; }
all() { cargo tree --locked --package "$1" --edges normal --prefix none --format '{p}' | awk '{print $1}' | sort -u; }

while IFS=: read -r crate allowed; do
  [ -n "$crate" ] || continue
  for found in $(direct "$crate" | grep '^weir' || true); do
    case " $allowed " in
      *" $found "*) ;;
      *) complain "$crate depends on $found; it may depend on:${allowed:- nothing of ours}" ;;
    esac
  done
done <<<"$rules"

# The pure core knows no runtime, no database, no Kafka, no HTTP, no randomness, no metrics.
for crate in weir-event weir-segment weir-basket weir-control; do
  for found in $(all "$crate" | grep -xE 'tokio|sqlx|rdkafka|axum|hyper|rand|metrics|tracing' || true); do
    complain "$crate is pure, but $found is among its dependencies"
  done
done

# Only the log and the store name a database, only the log names Kafka.
for manifest in Cargo.toml */Cargo.toml crates/*/Cargo.toml; do
  case "$manifest" in
    Cargo.toml | crates/event-log/Cargo.toml | crates/store/Cargo.toml | crates/bench/Cargo.toml) continue ;;
  esac
  # What tests use is their business.
  if sed '/^\[dev-dependencies\]/,/^\[/d' "$manifest" | grep -qE '^(sqlx|rdkafka)\b'; then
    complain "$manifest names sqlx or rdkafka"
  fi
done

# Nobody may see the other side: ingest knows no table, the query API knows no log.
if all weir-ingest | grep -qx weir-store; then complain "weir-ingest reaches weir-store"; fi
if all weir-query-api | grep -qx weir-event-log; then complain "weir-query-api reaches weir-event-log"; fi

# Faults to order are for the test build.
for program in weir weir-ingest weir-projector weir-query-api; do
  if cargo tree --locked --package "$program" --edges normal,features | grep -q 'feature "sabotage"'; then
    complain "$program is built with the feature sabotage"
  fi
done

[ "$failed" -eq 0 ] && echo "dependencies: as they should be"
exit "$failed"
