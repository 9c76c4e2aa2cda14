#!/bin/sh
# Prepares what systemd and MariaDB cannot see by themselves, then becomes systemd.
set -eu

if [ "${1:-}" = /sbin/init ]; then
    # systemd's services do not get the container's environment. So what it says about the database is written down here, as
    # SQL that the server carries out at every start: it may be repeated, and a changed password is taken over.
    quoted() { printf "'"; printf %s "$1" | sed "s/[\\\\']/\\\\&/g"; printf "'"; }
    # One statement a line: that is what init-file understands.
    grant() { # database user password
        name=$(printf %s "$1" | sed 's/`/``/g')
        user=$(quoted "$2")@"'%'"
        password=$(quoted "$3")
        cat <<END
CREATE DATABASE IF NOT EXISTS \`$name\`;
CREATE USER IF NOT EXISTS $user IDENTIFIED BY $password;
ALTER USER $user IDENTIFIED BY $password;
GRANT ALL PRIVILEGES ON \`$name\`.* TO $user;
END
    }
    (
        umask 027
        if [ -n "${MYSQL_DATABASES:-}" ]; then
            # Several databases, `name:password name:password`: each with a user of its name, who may use this one alone.
            # Parted at spaces and nowhere else: a password's `*` is no pattern of file names.
            set -f
            count=0
            for each in $MYSQL_DATABASES; do
                count=$((count + 1))
                case $each in
                ?*:?*) grant "${each%%:*}" "${each%%:*}" "${each#*:}" ;;
                *)  # It may be half a password, so it is not shown.
                    echo "MYSQL_DATABASES: item $count is not name:password (neither may have a space in it)" >&2
                    exit 1 ;;
                esac
            done
        else
            grant "${MYSQL_DATABASE:-remora}" "${MYSQL_USER:-remora}" "${MYSQL_PASSWORD:-remora}"
        fi >/etc/mysql/remora-init.sql
    )
    chgrp mysql /etc/mysql/remora-init.sql
    # A named volume starts as a copy of the image's folder; a mounted folder starts empty.
    if [ ! -d /var/lib/mysql/mysql ]; then
        mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db >/dev/null
    fi
    chown mysql:mysql /var/lib/mysql

    # systemd needs a control-group tree that it may write. Docker's is read-only, so put a fresh one in its place: the
    # container's own on a host with cgroup v2, else systemd's named hierarchy. (This takes CAP_SYS_ADMIN.)
    if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
        umount /sys/fs/cgroup
        mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
    else
        mount -o remount,rw /sys/fs/cgroup
        mkdir -p /sys/fs/cgroup/systemd
        umount /sys/fs/cgroup/systemd 2>/dev/null || true
        mount -t cgroup -o none,name=systemd,nosuid,nodev,noexec cgroup /sys/fs/cgroup/systemd
    fi
fi
exec "$@"
