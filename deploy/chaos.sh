#!/usr/bin/env bash
# Rounds of faults under load: real processes over a Kafka and a PostgreSQL of their own, which are killed, stopped and
# cut off; after each round every promise is looked at. A line a round, on standard error; ends with the first that is
# broken.
#
#   deploy/chaos.sh --rounds N [--seed S] [--faults A,B,…]
#
# Every 7 rounds a new log is begun, with the next seed: `--rounds 7 --seed S` with the seed of a log that failed does the
# same to it again. How the processes then meet is not in the seed. The names of faults are in the lines.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 64; }

rounds='' seed="$((SRANDOM % 1000000))" faults=''
while [ "$#" -gt 0 ]; do
  case "$1" in
    --rounds) rounds="${2:-}" ;;
    --seed) seed="${2:-}" ;;
    --faults) faults="${2:-}" ;;
    *) usage ;;
  esac
  shift 2 || usage
done
[[ "$rounds" =~ ^[1-9][0-9]*$ && "$seed" =~ ^[0-9]+$ ]] || usage

export CHAOS_ROUNDS="$rounds" WEIR_SEED="$seed"
if [ -n "$faults" ]; then export CHAOS_FAULTS="$faults"; fi
exec cargo test --locked --package weir-e2e --test faults -- --nocapture --exact campaign::faults_under_load
