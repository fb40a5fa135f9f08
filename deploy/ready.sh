#!/usr/bin/env bash
# Succeeds when the Weir of this container or machine answers 200 to /readyz: a health check that needs no curl.
# The port is that of WEIR_LISTEN, or the one given.
set -euo pipefail
port="${1:-${WEIR_LISTEN:-127.0.0.1:8080}}"
exec 3<>"/dev/tcp/127.0.0.1/${port##*:}"
printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 5 _ status _ <&3
[ "$status" = 200 ]
