for folder in /proc/[0-9]*; do
    read -r comm <"$folder/comm" || continue
    case $comm in supervisord* | python* | pypy*) ;; *) continue ;; esac
    tr '\0' '\n' <"$folder/cmdline" | {
        while IFS= read -r word; do
            case $word in supervisord | */supervisord | supervisor.supervisord) exit 0 ;; esac
        done
        exit 1
    } || continue
    uid="" gid=""
    while read -r key _ value _; do
        case $key in Uid:) uid=$value ;; Gid:) gid=$value ;; esac
    done <"$folder/status"
    echo "${folder#/proc/} $uid $gid"
done 2>/dev/null
