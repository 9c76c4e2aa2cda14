is_gunicorn() {
    read -r comm <"/proc/$1/comm" || return 1
    case $comm in
        gunicorn*) return 0 ;;
        python* | pypy*) ;;
        *) return 1 ;;
    esac
    tr '\0' '\n' <"/proc/$1/cmdline" | {
        while IFS= read -r word; do
            case $word in gunicorn | */gunicorn | gunicorn.app.wsgiapp) exit 0 ;; esac
        done
        exit 1
    }
}
parent() {
    while read -r key value _; do
        if [ "$key" = PPid: ]; then echo "$value"; return; fi
    done <"/proc/$1/status"
}
all=" " masters="" workers=""
for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    if is_gunicorn "$pid" 2>/dev/null; then all="$all$pid "; fi
done
for pid in $all; do
    case $all in
        *" $(parent "$pid" 2>/dev/null) "*) workers="$workers $pid" ;;
        *) masters="$masters $pid" ;;
    esac
done
if [ -z "$masters" ]; then echo "gunicorn is not running" >&2; exit 3; fi
if [ "$1" = look ]; then
    echo "master$masters${workers:+, workers$workers}"
elif [ "$1" = reload ]; then
    kill -HUP $masters && echo "HUP to master$masters"
elif [ -z "$workers" ]; then
    echo "gunicorn has no workers" >&2; exit 3
else
    kill -KILL $workers && echo "KILL to workers$workers of master$masters"
fi
