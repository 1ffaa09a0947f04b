#!/usr/bin/env bash
# Run a command beside a Slurm of one node on this machine, with a pretended GPU; Debian, as root.
# Where /etc/slurm/slurm.conf is somebody else's, that Slurm is used as it is.
set -euo pipefail

MARK="# certibayes: a Slurm for tests"
CONFIG=/etc/slurm/slurm.conf
STATE=""

fail() { echo "test-slurm: $*" >&2; exit 1; }

install_packages() {
    local missing=() package command
    for package in slurm-wlm:slurmctld slurm-wlm:slurmd munge:munged postgresql:pg_ctl; do
        command=${package#*:}
        compgen -G "/usr/lib/postgresql/*/bin/$command" >/dev/null || [ -x "/usr/sbin/$command" ] \
            || command -v "$command" >/dev/null || missing+=("${package%%:*}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null \
        || fail "${missing[*]} missing and no apt-get here; allowed: Debian or Ubuntu, or the packages installed"
    echo "test-slurm: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    local log
    log=$(mktemp)
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 </dev/null || { tail -n 20 "$log" >&2; fail "apt-get could not install ${missing[*]}"; }
    rm -f "$log"
}

# Memory, CPUs and GPU are pretended: what counts is that they are asked for.
configure() {
    local host
    host=$(hostname -s)
    getent hosts "$host" >/dev/null \
        || fail "the name $host has no address; allowed: one in /etc/hosts, such as 127.0.0.1 $host"
    mkdir -p /etc/slurm "$STATE"/{ctld,spool}
    cat >"$CONFIG" <<EOF
$MARK
ClusterName=certibayes
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.pid
StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/spool
SlurmctldLogFile=$STATE/slurmctld.log
SlurmdLogFile=$STATE/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=200000 Gres=gpu:1 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
    { echo "$MARK"; echo "Name=gpu File=/dev/null"; } >/etc/slurm/gres.conf
}

start_munge() {
    munge -n >/dev/null 2>&1 && return
    mkdir -p /run/munge "$STATE/munge"
    chown munge:munge /run/munge "$STATE/munge"
    runuser -u munge -- /usr/sbin/munged --force --pid-file="$STATE/munge/munged.pid" \
        2>"$STATE/munge.log" 9>&- \
        || { cat "$STATE/munge.log" >&2; fail "munged did not start"; }
    munge -n >/dev/null || fail "munged does not answer"
}

start_slurm() {
    slurmctld 9>&-
    slurmd 9>&-
    for _ in $(seq 60); do
        sinfo -h -o %T 2>/dev/null | grep -q idle && return
        sleep 0.5
    done
    tail -n 20 "$STATE"/slurm*.log >&2
    fail "no node became idle in 30 s"
}

stop() {
    local code=$? name pid
    scancel --user="$(id -un)" 2>/dev/null || true
    for name in slurmd slurmctld munge/munged; do
        pid=$(cat "$STATE/$name.pid" 2>/dev/null) || continue
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
    done
    rm -f "$CONFIG" /etc/slurm/gres.conf
    rm -rf "$STATE"
    exit "$code"
}

[ $# -gt 0 ] || fail "got no command"
if [ -e "$CONFIG" ] && ! head -n 1 "$CONFIG" | grep -qxF "$MARK"; then
    echo "test-slurm: using the Slurm of $CONFIG"
    exec "$@"
fi
[ "$(id -u)" -eq 0 ] || fail "got user $(id -un); allowed: root, who may install and start Slurm, or a machine with a Slurm"
mkdir -p /run/lock
exec 9>/run/lock/certibayes-test-slurm
flock -n 9 || fail "another test-slurm runs on this machine"
install_packages
STATE=$(mktemp -d /tmp/certibayes-slurm.XXXXXX)
chmod 755 "$STATE"
trap stop EXIT
trap 'exit 130' INT TERM
configure
start_munge
start_slurm
"$@" 9>&-
