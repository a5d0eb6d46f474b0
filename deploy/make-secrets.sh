#!/bin/sh
# Make the secrets of the compose file, each once: what is there stays.
set -eu
cd "$(dirname "$0")"

mkdir -p secrets/alertmanager
chmod 700 secrets # the files themselves must be readable by the users inside the containers
umask 022

random() { head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
keep() { [ -s "secrets/$1" ] || printf '%s' "$2" > "secrets/$1"; }

keep postgres_password "$(random)"
keep redis_password "$(random)"
keep jwt_secret "$(random)"
keep grafana_admin_password "$(random)"
keep database_url "postgresql://tapewatch:$(cat secrets/postgres_password)@postgres/tapewatch"
keep redis_url "redis://:$(cat secrets/redis_password)@valkey/0"
echo "secrets are in $PWD/secrets"
