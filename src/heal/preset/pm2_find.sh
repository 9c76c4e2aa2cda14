for folder in /proc/[0-9]*; do
    read -r comm <"$folder/comm" || continue
    case $comm in node* | bun* | PM2*) ;; *) continue ;; esac
    case $(tr '\0' ' ' <"$folder/cmdline") in
        "PM2 v"*"God Daemon ("* | *pm2-runtime* | *pm2-docker*) ;;
        *) continue ;;
    esac
    uid="" gid=""
    while read -r key _ value _; do
        case $key in Uid:) uid=$value ;; Gid:) gid=$value ;; esac
    done <"$folder/status"
    echo "${folder#/proc/} $uid $gid"
done 2>/dev/null
