#!/usr/bin/env bash
# What can be checked of the files in deploy/ without an engine, a database or an installation: seconds.
# Some checks need a program that not every machine has; without it the check says so and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
complain() { echo "check: $*" >&2; failed=1; }
have() { # have COMMAND WHAT
  command -v "$1" >/dev/null && return
  echo "check: no $1 here: $2 not checked" >&2
  return 1
}

scratch="$(mktemp -d)"
door=
cleanup() {
  if [ -n "$door" ]; then kill "$door" 2>/dev/null || true; wait "$door" 2>/dev/null || true; fi
  rm -rf "$scratch"
}
trap cleanup EXIT

# --- scripts ---------------------------------------------------------------------------------------------------------

scripts=(deploy/*.sh .ci/run)
for script in "${scripts[@]}"; do
  bash -n "$script" || complain "$script: syntax"
  [ -x "$script" ] || complain "$script can't be executed"
done
if have shellcheck "style of scripts"; then shellcheck --severity=warning "${scripts[@]}" || complain "shellcheck"; fi

# --- names -----------------------------------------------------------------------------------------------------------

# A variable that Weir doesn't know keeps it from starting, so each that is set here must be a documented one.
for name in $(grep -ohE '\bWEIR_[A-Z_]+' deploy/compose.yaml deploy/Dockerfile deploy/systemd/* | sort -u); do
  grep -q "\`$name\`" docs/OPERATIONS.md || complain "$name is set in deploy/, but docs/OPERATIONS.md doesn't have it"
done

# Programs that are started here are built by the workspace, and the image copies and builds the same.
cargo metadata --locked --no-deps --offline --format-version 1 >"$scratch/workspace"
grep -oE '"kind":\["bin"\],"crate_types":\["bin"\],"name":"[^"]+"' "$scratch/workspace" | cut -d '"' -f 12 >"$scratch/built"
started="$(sed -n 's|^ExecStart=/usr/local/bin/\([^ ]*\).*|\1|p' deploy/systemd/*.service
  sed -n 's/^ *command: \[\(weir\|ingest\|projector\|query-api\).*/\1/p' deploy/compose.yaml)"
for program in $(sort -u <<<"$started"); do
  grep -qx "$program" "$scratch/built" || complain "$program is started in deploy/, but no package has such a binary"
  grep -q "target/release/$program\b" deploy/Dockerfile || complain "deploy/Dockerfile doesn't install $program"
done

# --- compose ---------------------------------------------------------------------------------------------------------

if have python3 deploy/compose.yaml && python3 -c 'import yaml' 2>/dev/null; then
  python3 - deploy/compose.yaml <<'PYTHON' || complain "deploy/compose.yaml"
import re, sys, yaml
compose = yaml.safe_load(open(sys.argv[1]))
services, problems = compose["services"], []
for name, service in services.items():
    for other, how in service.get("depends_on", {}).items():
        if other not in services:
            problems.append(f"{name} depends on {other}, which isn't there")
        elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
            problems.append(f"{name} waits for the health of {other}, which tells none")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if not source.startswith(".") and source not in compose["volumes"]:
            problems.append(f"{name} mounts {source}, which isn't there")
names = set(services)
for service in services.values():
    for network in service.get("networks", {}).values():
        names.update(network.get("aliases", []))
for host in re.findall(r"^\s*server ([a-z0-9-]+):", open("deploy/nginx.conf").read(), re.M):
    if host not in names:
        problems.append(f"the front door sends to {host}, which isn't there")
print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
sys.exit(bool(problems))
PYTHON
fi

# --- systemd ---------------------------------------------------------------------------------------------------------

# The programs and the settings are not installed here, so that copies name some that are there.
if have systemd-analyze deploy/systemd; then
  mkdir "$scratch/units"
  for unit in deploy/systemd/*.service; do
    # A template is checked by one of its instances.
    copy="$scratch/units/$(basename "${unit/@./@8081.}")"
    sed -e 's|^ExecStart=/usr/local/bin/[^ ]*|ExecStart=/bin/true|' -e 's/^User=weir/User=root/' "$unit" >"$copy"
    # A key that it doesn't know is a warning to it, with success as its exit code.
    said="$(systemd-analyze verify --man=no --recursive-errors=no "$copy" 2>&1 || echo "refused")"
    [ -z "$said" ] || complain "$unit: $said"
  done
fi

# --- the front door --------------------------------------------------------------------------------------------------

# Two stubs that say who was asked, and the door in front of them.
free_port() {
  local port
  while :; do
    port=$((20000 + SRANDOM % 12000))
    if ! grep -qi ":$(printf %04x "$port") " /proc/net/tcp /proc/net/tcp6 2>/dev/null; then echo "$port"; return; fi
  done
}

within_5_s() { # within_5_s COMMAND: until it succeeds
  local deadline=$((SECONDS + 5))
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}
answers() { curl -sS -o "$scratch/answer" "http://127.0.0.1:$front/livez" 2>/dev/null; }
lost() { said="$(curl -sS -m 5 -i "http://127.0.0.1:$front/api/status" 2>&1)" && [[ "$said" != *"query GET"* ]]; }

goes() { # goes SERVICE METHOD PATH
  local said
  said="$(curl -sS -m 5 -X "$2" ${4:+--data "$4"} "http://127.0.0.1:$front$3" 2>&1)"
  [ "$said" = "$1 $2 $3" ] || complain "$2 $3 should be the matter of $1, and got: $said"
}

# nginx as the distribution has it: in sbin, and perhaps older than `resolve`, which these addresses don't need.
PATH="$PATH:/usr/sbin:/sbin"
if have nginx "the front door's routes" && have curl "the front door's routes"; then
  front="$(free_port)" ingest="$(free_port)" query="$(free_port)" nobody="$(free_port)"
  stub() { # stub NAME PORT: a HEAD has no body, a header says the same
    printf '    server {\n        listen 127.0.0.1:%s;\n        add_header Who %s;\n' "$2" "$1"
    printf '        return 200 "%s $request_method $request_uri";\n    }\n' "$1"
  }
  # One of two ingests is not there: its share goes to the other.
  sed -e "s|server ingest:8080 \(.*\) resolve;|server 127.0.0.1:$nobody \1; server 127.0.0.1:$ingest \1;|" \
    -e "s|server query-api:8080 \(.*\) resolve;|server 127.0.0.1:$query \1;|" \
    -e "s|listen 8080;|listen 127.0.0.1:$front;|" -e "s|/tmp/|$scratch/|" -e '$d' deploy/nginx.conf >"$scratch/nginx.conf"
  { stub ingest "$ingest"; stub query "$query"; echo '}'; } >>"$scratch/nginx.conf"
  nginx -p "$scratch" -e stderr -c "$scratch/nginx.conf" -g 'daemon off;' >"$scratch/nginx.log" 2>&1 &
  door=$!
  within_5_s answers || { cat "$scratch/nginx.log" >&2; complain "deploy/nginx.conf: nginx doesn't answer"; exit 1; }

  for _ in 1 2 3 4; do goes ingest POST /api/events '[]'; done
  goes ingest POST /api/profiles '{}'
  goes ingest PATCH /api/profiles/email:ada%40example.com '{}'
  goes ingest POST /api/profiles/email:ada%40example.com/events '{}'
  goes ingest PUT /api/segments/forgotten-cart '{}'
  goes ingest DELETE /api/segments/forgotten-cart
  goes ingest PUT /api/scores/points '{}'
  goes ingest POST /api/keys '{}'
  goes ingest DELETE /api/keys/1
  goes ingest POST /api/workspaces '{}'
  for segment in identify track page screen group alias batch users/events users/events/; do goes ingest POST "/v1/$segment" '{}'; done
  goes query GET "/v1/users/events?user_id=13"
  goes query GET "/v1/users/events/?user_id=13"
  goes query GET "/api/profiles?email=ada%40example.com"
  goes query GET /api/profiles/email:ada%40example.com/segments
  goes query GET "/api/segments/forgotten-cart?limit=1&as_of=2026-01-01T00:00:00Z"
  goes query GET /api/keys
  goes query GET /api/status
  for path in /livez /readyz /metrics /version; do goes query GET "$path"; done
  goes query GET /api/rebuilds
  goes query POST /api/rebuilds '{}'
  goes query POST /api/rebuilds/1/promote '{}'
  goes query DELETE /api/rebuilds/1
  goes ingest POST /api/rebuilds-not
  said="$(curl -sS -m 5 -I "http://127.0.0.1:$front/api/segments" 2>&1)"
  [[ "$said" == *"Who: query"* ]] || complain "HEAD should be the matter of query, and got: $said"
  deploy/ready.sh "127.0.0.1:$front" || complain "deploy/ready.sh doesn't see that a server is ready"
  if deploy/ready.sh "127.0.0.1:$nobody" 2>/dev/null; then complain "deploy/ready.sh calls a server ready that isn't there"; fi
  # Nobody behind the door: a problem like Weir's own, and not the plain page of nginx.
  sed "s|server 127.0.0.1:$query |server 127.0.0.1:$nobody |" "$scratch/nginx.conf" >"$scratch/away.conf"
  mv "$scratch/away.conf" "$scratch/nginx.conf"
  kill -HUP "$door"
  within_5_s lost || complain "the door still finds the query API"
  for part in "HTTP/1.1 503 " "Content-Type: application/problem+json" "Retry-After: 1" '"code":"not_ready"'; do
    [[ "$said" == *"$part"* ]] || complain "with no service there, the door's answer has no $part: $said"
  done
fi

[ "$failed" -eq 0 ] && echo "check: deploy/ is as it should be"
exit "$failed"
