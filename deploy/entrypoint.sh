#!/bin/sh
# Start a command with its secret settings read from files: for each NAME below, NAME_FILE may name
# a file that holds its value.
set -eu

for name in TAPEWATCH_DATABASE_URL TAPEWATCH_REDIS_URL TAPEWATCH_JWT_SECRET TAPEWATCH_JWT_PREVIOUS_SECRET TAPEWATCH_FEED_URL; do
    eval "file=\${${name}_FILE:-}"
    [ -n "$file" ] || continue
    if ! [ -r "$file" ]; then
        echo "${name}_FILE: cannot read $file: it must be there, readable by user $(id -u)" >&2
        exit 2
    fi
    export "$name=$(cat "$file")"
done
exec "$@"
