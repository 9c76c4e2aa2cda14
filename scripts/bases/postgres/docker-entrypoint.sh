#!/bin/bash
# Makes the database at the first start, then becomes the server.
set -euo pipefail

case ${1:-postgres} in -*) set -- postgres "$@" ;; esac
if [ "${1:-postgres}" != postgres ]; then exec "$@"; fi

if [ "$(id -u)" = 0 ]; then
    # A mounted folder belongs to whoever made it.
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

first_start() {
    local user=${POSTGRES_USER:-postgres} name file
    name=${POSTGRES_DB:-$user}
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo "POSTGRES_PASSWORD is not set: give the database's user a password" >&2
        exit 1
    fi
    initdb --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth-local=trust --auth-host=scram-sha-256 >/dev/null
    touch "$unfinished"
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    # No one but this script can reach the server until all is there: a check would call it up too early.
    pg_ctl -w -s -o "-c listen_addresses=''" start
    local sql=(psql -v ON_ERROR_STOP=1 --no-psqlrc -q -U "$user")
    if [ "$name" != postgres ]; then
        "${sql[@]}" -d postgres -v name="$name" <<<'CREATE DATABASE :"name";'
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
        *.sh) . "$file" ;;
        *.sql) echo "running $file"; "${sql[@]}" -d "$name" -f "$file" ;;
        *.sql.gz) echo "running $file"; gunzip -c "$file" | "${sql[@]}" -d "$name" ;;
        esac
    done
    pg_ctl -w -s -m fast stop
    rm "$unfinished"
}

# The script's own mark tells a first start that was cut short, and it is begun again. Data without it are never touched.
unfinished=$PGDATA/first-start-unfinished
if [ -e "$unfinished" ]; then find "$PGDATA" -mindepth 1 -delete; fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then first_start; fi
exec "$@"
