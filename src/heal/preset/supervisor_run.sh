pid=$1 file="" next="" beside=""
set -f
IFS='
'
for word in $(tr '\0' '\n' <"/proc/$pid/cmdline"); do
    if [ -n "$next" ]; then file=$word next=""; fi
    case $word in
        -c | --configuration) next=yes ;;
        --configuration=*) file=${word#*=} ;;
        -c?*) file=${word#-c} ;;
        */supervisord) beside=${word%/*} ;;
    esac
done
unset IFS
cd "/proc/$pid/cwd" 2>/dev/null || cd /
PATH="$PATH${beside:+:$beside}"
export PATH
if ! command -v supervisorctl >/dev/null; then echo "no supervisorctl command in $PATH" >&2; exit 127; fi
exec supervisorctl ${file:+-c "$file"} "$2" "$3"
