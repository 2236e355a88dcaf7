#!/usr/bin/env bash
# A real Slurm of one node to test against: thrown away after use, on loopback only, for root (in a container).
#
#     scripts/slurm_test_cluster.sh install                                     # the packages, by apt-get
#     scripts/slurm_test_cluster.sh start DIR [--no-accounting] [KEY=VALUE...]  # tells SLURM_CONF; exit code 3
#                                                                               # where it cannot run
#     scripts/slurm_test_cluster.sh status DIR                                  # exit code 1 where it is down
#     scripts/slurm_test_cluster.sh stop DIR                                    # at any time; kills jobs and daemons
#
# DIR         a new or empty folder, or that of an earlier cluster; DIR/log stays after `stop`.
# KEY=VALUE   of slurm.conf, instead of what is written below, e.g. MinJobAge=2.
#
# Partitions: `debug` (the default; preempted, its jobs are requeued) and `high` (preempts debug). Two GPUs that are
# none (/dev/null, /dev/zero). Without accounting there is no slurmdbd and sacct answers nothing. Several clusters,
# each in its DIR, may be up: each takes a block of 100 free ports.
set -euo pipefail

packages=(munge slurmctld slurmd slurm-client slurmdbd mariadb-server)
export PATH=$PATH:/usr/sbin:/sbin # where Debian keeps daemons

say() { echo "slurm_test_cluster: $*" >&2; }
die() { say "$@"; exit 1; }
cannot() { say "$@"; exit 3; } # not on this machine

missing() { # the packages whose programs are not here
  local program
  for program in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client slurmdbd:slurmdbd \
    mariadbd:mariadb-server; do
    command -v "${program%:*}" >/dev/null || echo "${program#*:}"
  done
}

install() {
  [ -n "$(missing)" ] || return 0
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

require() {
  local lacking
  lacking=$(missing | xargs)
  [ -z "$lacking" ] || cannot "not installed: $lacking: apt-get install --no-install-recommends ${packages[*]}"
  [ "$(id -u)" = 0 ] || cannot "only root can start jobs as anyone: run it as root, in a container"
}

within() { # within TENTHS COMMAND...: until it succeeds
  local left=$1
  shift
  until "$@" >/dev/null 2>&1; do
    [ $((left--)) -gt 0 ] || return 1
    sleep 0.1
  done
}

# What runs on the cluster's behalf. SLURM_CONF alone is also in a shell that merely talks to the cluster; with it the
# daemons carry a mark and jobs an id. Slurm's own processes that write their title over the mark are told by program.
marked() {
  local environ
  { grep -lzsxF "SLURM_CONF=$dir/slurm.conf" /proc/[0-9]*/environ || true; } | while read -r environ; do
    if grep -qzsE '^SLURM_(TEST_CLUSTER|JOB_ID)=' "$environ" || [[ $(readlink "${environ%environ}exe") == */slurm* ]]; then
      echo "$environ" | cut -d / -f 3
    fi
  done
}
daemon() { SLURM_TEST_CLUSTER=$dir "$@" </dev/null >>"$dir/log/start.log" 2>&1; }

free_block() { # the first port of 100, below the range that the kernel hands out; DIR decides where to look first
  local listening try block
  listening=" $(awk '$4 == "0A" { print $2 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | cut -d : -f 2 |
    while read -r port; do echo $((16#$port / 100)); done | sort -u | tr '\n' ' ')"
  try=$(cksum <<<"$dir" | cut -d ' ' -f 1)
  for _ in $(seq 100); do
    block=$((200 + try++ % 100))
    [[ $listening == *" $block "* ]] || { echo $((block * 100)); return; }
  done
  die "no 100 ports are free between 20000 and 29999"
}

configure() {
  local host port key
  host=$(hostname -s)
  port=$(free_block)
  cat >"$dir/slurm.conf" <<CONF
ClusterName=receptive-test
SlurmctldHost=$host(127.0.0.1)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SrunPortRange=$((port + 10))-$((port + 99))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job starts only after the credential of its last start has expired: 120 s by default.
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
# Nothing that needs cgroups: a container may have none.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# Started at once: tests wait for it.
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
InactiveLimit=0
ReturnToService=2
MaxArraySize=1001
MaxJobCount=10000
MinJobAge=300
GresTypes=gpu
# More than the machine may have: what a job asks for is granted, whatever this machine is.
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=$host MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
CONF
  printf 'Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n' >"$dir/gres.conf"
  if [ "$accounting" = yes ]; then
    cat >>"$dir/slurm.conf" <<CONF
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 2))
AccountingStoragePass=$dir/munge/socket
CONF
    (umask 077 && cat >"$dir/slurmdbd.conf") <<CONF
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((port + 2))
CommunicationParameters=NoInAddrAny
SlurmUser=root
LogFile=$dir/log/slurmdbd.log
PidFile=$dir/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounting
CONF
  else
    echo "AccountingStorageType=accounting_storage/none" >>"$dir/slurm.conf"
  fi
  for key in "${settings[@]%%=*}"; do sed -i "/^$key=/d" "$dir/slurm.conf"; done
  printf '%s\n' "${settings[@]}" >>"$dir/slurm.conf"
}

start_accounting() { # slurmdbd over a MariaDB on a unix socket, both root's: no folder needs to be open to others
  daemon mariadb-install-db --no-defaults --user=root --datadir="$dir/db" --auth-root-authentication-method=socket \
    --skip-test-db --skip-log-error
  SLURM_TEST_CLUSTER=$dir setsid mariadbd --no-defaults --user=root --datadir="$dir/db" --socket="$dir/sql" \
    --pid-file="$dir/mariadb.pid" --skip-networking --innodb-buffer-pool-size=32M --innodb-log-file-size=8M \
    --innodb-flush-log-at-trx-commit=0 --log-error="$dir/log/mariadb.log" </dev/null >/dev/null 2>&1 &
  disown # its end is not this shell's to tell
  within 200 mariadb-admin --no-defaults --socket="$dir/sql" ping
  daemon env MYSQL_UNIX_PORT="$dir/sql" slurmdbd
  within 200 sacctmgr --immediate --noheader add cluster receptive-test
}

idle() { sinfo --noheader --format=%T | grep -qx idle; }

start() {
  require
  [ -z "$(ls -A "$dir" 2>/dev/null)" ] || grep -qsx ClusterName=receptive-test "$dir/slurm.conf" ||
    die "$dir: not empty and not of an earlier cluster"
  # The path of a unix socket holds 107 characters.
  [ ${#dir} -le 90 ] || die "$dir: too long for sockets below it: at most 90 characters"
  [ -z "$(marked)" ] || die "$dir: a cluster is up here: scripts/slurm_test_cluster.sh stop $dir"
  forget
  rm -rf "$dir/log"
  mkdir -p "$dir"/{state,spool,log,munge,db}
  trap 'tail -n 8 "$dir"/log/*.log >&2 || true; stop >/dev/null; die "$dir: it did not come up"' EXIT
  configure
  head -c 128 /dev/urandom >"$dir/munge/key"
  chmod 600 "$dir/munge/key"
  daemon munged --force --num-threads=2 --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munge/pid" --log-file="$dir/log/munge.log" --seed-file="$dir/munge/seed"
  [ "$accounting" = no ] || start_accounting
  daemon slurmctld -c
  daemon slurmd -c
  within 200 idle
  trap - EXIT
  echo "export SLURM_CONF=$SLURM_CONF"
}

forget() { rm -rf "$dir"/{state,spool,munge,db}; } # the logs stay

stop() { # nothing in DIR outlives it, so nothing is asked politely; a killed job may yet start a process: look again
  local pids
  for _ in $(seq 100); do
    pids=$(marked)
    [ -n "$pids" ] || { ! grep -qsx ClusterName=receptive-test "$dir/slurm.conf" || forget; echo "down"; return 0; }
    # shellcheck disable=SC2086 # one argument each
    kill -KILL $pids 2>/dev/null || true
    sleep 0.1
  done
  die "$dir: these do not end: ${pids//$'\n'/ }"
}

status() {
  [ -n "$(marked)" ] || die "$dir: down" # Slurm's commands would try for long
  echo "export SLURM_CONF=$SLURM_CONF"
  timeout 10 sinfo && timeout 10 squeue
}

[ "${1:-}" != install ] || { install; exit; }
if ! [[ $# -ge 2 && $1 =~ ^(start|stop|status)$ ]]; then
  sed -n '2,/^set/ { /^#/ s/^# \{0,1\}//p }' "$0" >&2
  exit 2
fi
verb=$1
dir=$(realpath -m "$2")
export SLURM_CONF=$dir/slurm.conf
accounting=yes settings=()
for argument in "${@:3}"; do
  case $argument in
    --no-accounting) accounting=no ;;
    *=*) settings+=("$argument") ;;
    *) die "$argument: neither --no-accounting nor KEY=VALUE" ;;
  esac
done
"$verb"
