#!/bin/sh
# MariaDB as the only process of its container, as the image's user `mysql`.
set -eu
quoted() { printf "'"; printf %s "$1" | sed "s/[\\\\']/\\\\&/g"; printf "'"; }
name=$(printf %s "${MYSQL_DATABASE:-remora}" | sed 's/`/``/g')
user=$(quoted "${MYSQL_USER:-remora}")@"'%'"
password=$(quoted "${MYSQL_PASSWORD:-remora}")
# Run at every start, so it can be repeated, and a changed password is applied. One statement per line.
init=$(mktemp)
cat >"$init" <<SQL
CREATE DATABASE IF NOT EXISTS \`$name\`;
CREATE USER IF NOT EXISTS $user IDENTIFIED BY $password;
ALTER USER $user IDENTIFIED BY $password;
GRANT ALL PRIVILEGES ON \`$name\`.* TO $user;
SQL
[ -d /var/lib/mysql/mysql ] || mariadb-install-db --datadir=/var/lib/mysql --skip-test-db >/dev/null
exec mariadbd --init-file="$init" --socket=/tmp/mysql.sock --pid-file=/tmp/mysql.pid
