#!/bin/sh
# Becomes the server, as the user redis.
set -eu

# Options or a file alone are meant for the server.
case ${1:-redis-server} in -* | *.conf) set -- redis-server "$@" ;; esac
if [ "${1:-redis-server}" != redis-server ]; then exec "$@"; fi
[ $# = 0 ] || shift

# Other containers may connect, unless a file says how it is to be. What the command says comes later and wins.
case ${1:-} in
*.conf) ;;
*) set -- --bind 0.0.0.0 --protected-mode no "$@" ;;
esac
if [ "$(id -u)" = 0 ]; then
    chown -R redis:redis .
    exec setpriv --reuid=redis --regid=redis --clear-groups redis-server "$@"
fi
exec redis-server "$@"
