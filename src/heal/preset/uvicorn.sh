status() {
    while read -r key value _; do
        if [ "$key" = "$2:" ]; then echo "$value"; return; fi
    done <"/proc/$1/status"
}
is_uvicorn() {
    read -r comm <"/proc/$1/comm" || return 1
    case $comm in uvicorn* | fastapi*) return 0 ;; python* | pypy*) ;; *) return 1 ;; esac
    tr '\0' '\n' <"/proc/$1/cmdline" | {
        while IFS= read -r word; do
            case $word in uvicorn | */uvicorn | fastapi | */fastapi) exit 0 ;; esac
        done
        exit 1
    }
}
spawned() {
    read -r comm <"/proc/$1/comm" || return 1
    case $comm in python* | pypy*) ;; *) return 1 ;; esac
    case $(tr '\0' ' ' <"/proc/$1/cmdline") in *"from multiprocessing.spawn import spawn_main"*) return 0 ;; esac
    return 1
}
# HUP, TTIN and TTOU, as uvicorn since 0.30 handles them.
takes_hup() {
    mask=$(status "$1" SigCgt)
    [ "${#mask}" = 16 ] && [ $((0x${mask#????????} & 0x300001)) = $((0x300001)) ]
}
workers() {
    for folder in /proc/[0-9]*; do
        if spawned "${folder#/proc/}" && [ "$(status "${folder#/proc/}" PPid)" = "$parent" ]; then printf '%s ' "${folder#/proc/}"; fi
    done 2>/dev/null
}
parent="" single=""
for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    if is_uvicorn "$pid"; then
        if takes_hup "$pid"; then parent=$pid; else single=$pid; fi
    elif spawned "$pid"; then
        # `uvicorn.run(…, workers=4)` in a program of any name.
        above=$(status "$pid" PPid)
        if takes_hup "$above"; then parent=$above; fi
    fi
done 2>/dev/null
if [ -z "$parent" ] && [ -n "$single" ]; then
    echo "uvicorn ($single) runs without --workers, or is older than 0.30: it cannot reload, and HUP would end it" >&2; exit 3
elif [ -z "$parent" ]; then
    echo "uvicorn is not running" >&2; exit 3
fi
old=$(workers)
if [ "$1" = look ]; then
    echo "parent $parent, workers $old"
elif [ -z "$old" ]; then
    echo "uvicorn has no workers" >&2; exit 3
elif [ "$1" = kill ]; then
    kill -KILL $old && echo "KILL to workers ${old}of parent $parent"
else
    kill -HUP "$parent" || exit 1
    echo "HUP to parent $parent"
    seen=$old quiet=0
    while :; do
        sleep 0.2
        now=$(workers) left=""
        for pid in $old; do case " $now" in *" $pid "*) left="$left $pid" ;; esac; done
        if [ -z "$left" ]; then echo "all workers are new"; exit 0; fi
        if [ "$now" = "$seen" ]; then quiet=$((quiet + 1)); else quiet=0 seen=$now; fi
        if [ "$quiet" -ge 10 ]; then kill -KILL $left && echo "KILL to old workers$left, which did not end"; exit; fi
    done
fi
