#!/usr/bin/env bash
# A real Kafka and a real PostgreSQL for tests: no Docker, no server that is already there is touched, several at once.
#
#   deploy/services.sh up    [DIR]                          both; at once if they run; fetches what is missing
#   deploy/services.sh env   [DIR]                          the lines that tell tests where they are, for eval
#   deploy/services.sh down  [DIR]                          stops both and removes their data
#   deploy/services.sh kafka    start|stop|kill           [DIR]   one of them: on the same data and the same port
#   deploy/services.sh postgres start|stop|immediate|kill [DIR]
#
# DIR (default: target/services) is theirs alone. They listen on loopback, on free ports that DIR remembers.
# Kafka's jars are kept in WEIR_SERVICES_CACHE (default: target/services-cache), which `down` leaves alone.
# KAFKA_HEAP_OPTS replaces the small heap of the broker. Nothing but `env` prints on standard output.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
target="${CARGO_TARGET_DIR:-${here%/*}/target}"
cache="${WEIR_SERVICES_CACHE:-$target/services-cache}"
# Seconds for a server to come or go: not a measure of its speed (that is 2 to 3), but of a machine busy with builds.
patience=120

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64; }
fail() { printf 'services: %s\n' "$*" >&2; exit 1; }
say() { printf 'services: %s\n' "$*" >&2; }

# --- what both servers need ------------------------------------------------------------------------------------------

within() { # within SECONDS COMMAND…: until it succeeds
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

# The pid in FILE if it is a process that was started with the argument WORD. A pid by itself proves nothing: after a
# crash another process may have it, and it would be the one that is killed.
pid_of() { # pid_of FILE WORD
  local pid argument
  { read -r pid <"$1"; } 2>/dev/null || return 1
  while IFS= read -r -d '' argument; do
    if [ "$argument" = "$2" ]; then echo "$pid"; return; fi
  done 2>/dev/null <"/proc/$pid/cmdline" || true
  return 1
}

# Below the range from which Linux takes ports for outgoing connections (32768 on): so no client sits on the port
# while the server is down between two starts.
free_port() {
  local port
  for _ in {1..1000}; do
    port=$((20000 + SRANDOM % 12000))
    if ! grep -qi ":$(printf %04x "$port") " /proc/net/tcp /proc/net/tcp6 2>/dev/null; then echo "$port"; return; fi
  done
  fail "no free port between 20000 and 32000"
}

# One command at a time for each server, so that two `up` don't start it twice. Servers must not inherit descriptor 9,
# or the lock would be held as long as they run.
lock() { # lock DIRECTORY
  [ -d "$1" ] || fail "$1 isn't there: run deploy/services.sh up first"
  exec 9<"$1"
  flock -w $((patience * 5)) 9 || fail "another services.sh has been at work on $1 for too long"
  # The directory may have been removed by a `down` that was waited for.
  [ "$1" -ef "/proc/$$/fd/9" ] || fail "$1 was removed meanwhile"
}

show_log() { # show_log FILE: its end, for somebody who only sees the output of CI
  say "the end of $1:"
  tail -n 40 "$1" >&2 || true
}

install_package() { # install_package WHAT PACKAGE…
  local what="$1"
  shift
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    fail "$what is missing: install it (Debian and Ubuntu: apt-get install $*), or run this as root there"
  fi
  say "installing $*"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2 9>&-
}

# --- Kafka -----------------------------------------------------------------------------------------------------------

# A java of 17 or later, the least that runs this broker. The one in PATH may be older than one that is installed too.
find_java() {
  local candidate major
  for candidate in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
    [ -x "$candidate" ] || continue
    major="$("$candidate" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')"
    if [ "${major:-0}" -ge 17 ]; then echo "$candidate"; return; fi
  done
  return 1
}

need_java() { # sets `java`
  java="$(find_java)" && return
  install_package "Java 17 or later" openjdk-17-jre-headless
  # A new Java has a list of authorities of its own, and may lack those that were added to this machine by hand: Maven
  # would fail behind a proxy that has one of them.
  if command -v update-ca-certificates >/dev/null; then update-ca-certificates --fresh >&2 9>&-; fi
  java="$(find_java)" || fail "openjdk-17-jre-headless was installed, but no java of 17 or later is found"
}

# The jars, named after the pom that pins them, so that another version is another directory.
need_jars() { # sets `jars`
  jars="$cache/kafka-$(sha256sum <"$here/kafka/pom.xml" | cut -c1-12)"
  [ ! -d "$jars" ] || return 0
  command -v mvn >/dev/null || install_package "Maven" maven
  say "fetching Kafka's jars into $jars"
  mkdir -p "$cache"
  local fetched
  fetched="$(mktemp -d "$cache/fetching.XXXXXX")"
  if ! JAVA_HOME="$(dirname "$(dirname "$(readlink -f "$java")")")" \
    mvn -q -B -Dstyle.color=never --strict-checksums -f "$here/kafka/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$fetched" >&2 9>&-; then
    rm -rf "$fetched"
    fail "Maven could not fetch Kafka's jars (see above)"
  fi
  # Whole or not at all. Two may fetch at the same time for different DIRs: the first to end wins.
  chmod 755 "$fetched"
  mv -T "$fetched" "$jars" 2>/dev/null || rm -rf "$fetched"
}

configure_kafka() {
  local port controller
  port="$(free_port)"
  controller="$(free_port)"
  # Replicas: one broker. Few partitions of inner topics: a start creates or recovers each. No rebalance delay: tests
  # would wait 3 s for every group. No topics by accident: a misspelt name must fail. Cleaner: its 128 MB don't fit.
  # Session: after a kill the broker waits for the end of its own one, by default 9 s, before it may register again. One
  # of 3 s ends while a busy machine starts the broker, again and again.
  cat >"$kafka/server.properties.new" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$kafka/data
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=16777216
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
PROPERTIES
  echo "$port" >"$kafka/port"
  mv "$kafka/server.properties.new" "$kafka/server.properties"
}

format_kafka() {
  rm -rf "$kafka/data"
  # Letters and digits only: an id that begins with a dash would be taken for an option.
  local id
  id="$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=')"
  "$java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$jars/*" \
    kafka.tools.StorageTool format --standalone -t "$id" -c "$kafka/server.properties" >"$kafka/format.log" 2>&1 9>&- ||
    { show_log "$kafka/format.log"; fail "Kafka's directory could not be formatted"; }
}

kafka_pid() { pid_of "$kafka/pid" "$kafka/server.properties"; }
kafka_gone() { ! kafka_pid >/dev/null; }

# The line comes after the broker's registration and after its port is open; only what this start wrote counts.
kafka_started() { # kafka_started BYTES-BEFORE
  grep -q 'Kafka Server started' < <(tail -c "+$(($1 + 1))" "$kafka/log")
}

# `true` also for one that died: then there is nothing more to wait for. By the signal that changes nothing: while the
# shell's child becomes java, it has no command line to be known by.
kafka_decided() { # kafka_decided BYTES-BEFORE PID
  kafka_started "$1" || ! kill -0 "$2" 2>/dev/null
}

start_kafka() {
  [ -f "$kafka/server.properties" ] || fail "there is no Kafka in $dir: run deploy/services.sh up first"
  if kafka_pid >/dev/null; then return; fi
  need_java
  need_jars
  [ -f "$kafka/data/meta.properties" ] || format_kafka
  touch "$kafka/log"
  local before pid
  before="$(stat -c %s "$kafka/log")"
  # A session of its own: Ctrl-C in the terminal is for the tests, which stop the servers when they are done.
  # The heap may be given as several words.
  # shellcheck disable=SC2086
  setsid "$java" ${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m} -XX:+UseSerialGC \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info \
    -Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.dateTimeFormat="HH:mm:ss.SSS" \
    -cp "$jars/*" kafka.Kafka "$kafka/server.properties" </dev/null >>"$kafka/log" 2>&1 9>&- &
  pid=$!
  echo "$pid" >"$kafka/pid"
  # Not this shell's to report on when somebody else ends it.
  disown
  if ! within "$patience" kafka_decided "$before" "$pid" || ! kafka_started "$before"; then
    show_log "$kafka/log"
    end_kafka KILL || true
    fail "Kafka did not start"
  fi
}

end_kafka() { # end_kafka SIGNAL
  local pid
  pid="$(kafka_pid)" || return 0
  kill "-$1" "$pid" 2>/dev/null || true
  within "$patience" kafka_gone || { show_log "$kafka/log"; fail "Kafka (pid $pid) is still there after SIG$1"; }
  rm -f "$kafka/pid"
}

# --- PostgreSQL ------------------------------------------------------------------------------------------------------

find_postgres() {
  local newest
  newest="$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1)"
  [ -n "$newest" ] && dirname "$newest"
}

need_postgres() { # sets `pg`
  pg="$(find_postgres)" && return
  # Debian's package would make a cluster and start it. The drop-in keeps it from that, and goes again.
  local drop_in=/etc/postgresql-common/createcluster.d/weir-tests.conf
  if [ "$(id -u)" -eq 0 ]; then
    mkdir -p "${drop_in%/*}"
    echo 'create_main_cluster = false' >"$drop_in"
  fi
  install_package "PostgreSQL" postgresql
  rm -f "$drop_in"
  pg="$(find_postgres)" || fail "postgresql was installed, but there is none below /usr/lib/postgresql"
}

# PostgreSQL refuses to run as root; then it runs as the user that Debian made for it, or as nobody.
# From /, since that user may not be allowed to be where we are.
as_server() (
  cd /
  if [ "$(id -u)" -ne 0 ]; then exec "$@" 9>&-; fi
  exec setpriv --reuid="$pg_user" --regid="$(id -g "$pg_user")" --init-groups -- "$@" 9>&-
)

# A directory that the server's user owns and can reach: below DIR, or, where DIR is below a directory closed to that
# user (such as /root), in /var/tmp. Not in /tmp: it may be in memory, where fsync costs nothing.
place_postgres() {
  local place="$postgres/server"
  mkdir -p "$place"
  if [ "$(id -u)" -eq 0 ]; then
    chown "$pg_user:" "$place"
    if ! as_server test -w "$place"; then
      rmdir "$place"
      place="$(mktemp -d /var/tmp/weir-postgres.XXXXXX)"
      chown "$pg_user:" "$place"
    fi
  fi
  chmod 700 "$place"
  echo "$place" >"$postgres/place"
}

# The collation is that of a language, as deployments have it, so that a statement which relies on the order of bytes
# without saying so is found here. No Unix socket: other servers use the usual places. fsync stays on, as in earnest.
initialise_postgres() {
  local fresh="$place/fresh"
  rm -rf "$fresh"
  as_server "$pg/initdb" --pgdata="$fresh" --username=postgres --auth=trust --encoding=UTF8 --no-instructions \
    --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US >"$postgres/initdb.log" 2>&1 ||
    { show_log "$postgres/initdb.log"; fail "initdb failed"; }
  as_server tee -a "$fresh/postgresql.conf" >/dev/null <<CONF

# Of deploy/services.sh
listen_addresses = '127.0.0.1'
port = $(cat "$postgres/port")
unix_socket_directories = ''
max_connections = 200
shared_buffers = 256MB
max_wal_size = 4GB
log_line_prefix = '%m [%p] %q%a '
log_lock_waits = on
CONF
  # Whole or not at all: an initdb that was interrupted must not be taken for a database.
  as_server mv -T "$fresh" "$place/data"
}

postgres_pid() { pid_of "$place/data/postmaster.pid" "$place/data"; }

# Every process of the server: they all work in the data directory, also those whose postmaster is gone.
postgres_processes() {
  local link works_in
  while read -r link works_in; do
    if [ "$works_in" = "$place/data" ]; then basename "${link%/cwd}"; fi
  done < <(find /proc/[0-9]*/cwd -maxdepth 0 -printf '%p %l\n' 2>/dev/null || true)
}
postgres_gone() { [ -z "$(postgres_processes)" ]; }

find_place() { # sets `place` and `pg_user`
  [ -f "$postgres/place" ] || fail "there is no PostgreSQL in $dir: run deploy/services.sh up first"
  place="$(cat "$postgres/place")"
  pg_user="$(stat -c %U "$place")"
}

start_postgres() {
  find_place
  if postgres_pid >/dev/null; then return; fi
  need_postgres
  [ -d "$place/data" ] || initialise_postgres
  # Orphans of a killed server would make the new one refuse ("pre-existing shared memory block").
  within "$patience" postgres_gone || fail "processes of an earlier server are still in $place/data"
  if ! as_server "$pg/pg_ctl" start --pgdata="$place/data" --log="$place/log" --wait --timeout="$patience" --silent >&2; then
    show_log "$place/log"
    fail "PostgreSQL did not start"
  fi
}

stop_postgres() { # stop_postgres fast|immediate
  find_place
  postgres_pid >/dev/null || return 0
  need_postgres
  as_server "$pg/pg_ctl" stop --pgdata="$place/data" --mode="$1" --wait --timeout="$patience" --silent >&2 ||
    { show_log "$place/log"; fail "PostgreSQL did not stop ($1)"; }
  within "$patience" postgres_gone || fail "processes of PostgreSQL are still in $place/data"
}

# As when the machine dies: the postmaster first, so that it starts no others, then those that it leaves behind (idle
# ones go by themselves, one in the middle of a statement would end it first).
kill_postgres() {
  find_place
  local pid
  if pid="$(postgres_pid)"; then kill -KILL "$pid" 2>/dev/null || true; fi
  within "$patience" kill_left_behind || fail "processes of PostgreSQL are still in $place/data after SIGKILL"
  # Where the killed one has not been reaped yet, its pid still counts as a running postmaster to the next one.
  rm -f "$place/data/postmaster.pid"
}
kill_left_behind() {
  local left
  mapfile -t left < <(postgres_processes)
  [ "${#left[@]}" -gt 0 ] || return 0
  kill -KILL "${left[@]}" 2>/dev/null || true
  return 1
}

# --- commands --------------------------------------------------------------------------------------------------------

# What `down` removes must have been made by `up`.
mark() {
  [ ! -e "$dir" ] || [ -e "$dir/.weir-services" ] || [ -z "$(ls -A "$dir")" ] ||
    fail "$dir is not empty and not of services.sh: name a directory of its own"
  mkdir -p "$dir"
  touch "$dir/.weir-services"
  mkdir -p "$kafka" "$postgres"
}

up() {
  mark
  lock "$kafka"
  [ -f "$kafka/server.properties" ] || configure_kafka
  start_kafka
  lock "$postgres"
  if [ ! -f "$postgres/place" ]; then
    need_postgres
    pg_user="$(id -un)"
    if [ "$(id -u)" -eq 0 ]; then pg_user="$(id -un postgres 2>/dev/null || echo nobody)"; fi
    free_port >"$postgres/port"
    place_postgres
  fi
  start_postgres
}

show_environment() {
  if [ ! -f "$kafka/port" ] || [ ! -f "$postgres/port" ]; then
    fail "there are no servers in $dir: run deploy/services.sh up first"
  fi
  echo "export WEIR_TEST_KAFKA=127.0.0.1:$(cat "$kafka/port")"
  echo "export WEIR_TEST_POSTGRES=postgres://postgres@127.0.0.1:$(cat "$postgres/port")/postgres"
}

down() {
  [ -e "$dir/.weir-services" ] || return 0
  # Nothing of it is kept, so it need not end in order.
  if [ -d "$kafka" ]; then
    lock "$kafka"
    end_kafka KILL
    rm -rf "$kafka"
  fi
  if [ -d "$postgres" ]; then
    lock "$postgres"
    if [ -f "$postgres/place" ]; then
      kill_postgres
      rm -rf "$place"
    fi
    rm -rf "$postgres"
  fi
  rm -f "$dir/.weir-services"
  rmdir "$dir" 2>/dev/null || true
}

command="${1:-}"
shift || usage
case "$command" in
  up | env | down) ;;
  kafka | postgres) command="$command ${1:-}"; shift || usage ;;
  *) usage ;;
esac
[ "$#" -le 1 ] || usage
# Absolute and without links: it is compared with what the kernel tells of processes.
dir="$(realpath -m "${1:-$target/services}")"
kafka="$dir/kafka"
postgres="$dir/postgres"

case "$command" in
  up) up ;;
  env) show_environment ;;
  down) down ;;
  "kafka start") lock "$kafka"; start_kafka ;;
  "kafka stop") lock "$kafka"; end_kafka TERM ;;
  "kafka kill") lock "$kafka"; end_kafka KILL ;;
  "postgres start") lock "$postgres"; start_postgres ;;
  "postgres stop") lock "$postgres"; stop_postgres fast ;;
  "postgres immediate") lock "$postgres"; stop_postgres immediate ;;
  "postgres kill") lock "$postgres"; kill_postgres ;;
  *) usage ;;
esac
