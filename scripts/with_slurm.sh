#!/usr/bin/env bash
# with_slurm.sh COMMAND... starts a Slurm of two nodes, n1 and n2, of eight CPUs and two GPUs each (no real ones) on this machine, runs COMMAND with
# SLURM_CONF set, ends Slurm and everything that it started, and exits with the status of COMMAND. Nothing
# of the machine's own Slurm or munge, if it has them, is touched: everything lies in a temporary folder, which
# COMMAND finds in SLURM_TEST_DIR: <node>.pid are the process ids of the nodes.
# Partition "low" is the default one, and jobs of "high" preempt its jobs.
set -euo pipefail

dir=$(mktemp -d /tmp/slurm.XXXXXX) # short: sockets have names of at most 107 bytes
export SLURM_TEST_DIR=$dir SLURM_CONF=$dir/slurm.conf
mkdir "$dir/state" "$dir/spool" "$dir/munge"
chmod 0711 "$dir/munge" # as munged wants it
chmod 0755 "$dir"

# Ports that nobody listens at now, below those that the kernel gives to clients, and others for each of several that start together.
ports=()
for ((try = 0; ${#ports[@]} < 3; try++)); do
	port=$((20000 + ($$ * 8 + try) % 12000))
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || ports+=("$port")
done

host=$(hostname -s)
user=$(id -un)
cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=200000,sched_interval=5,bf_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
SlurmdTimeout=20
KillWait=5
MinJobAge=300
MaxArraySize=4
ReturnToService=2
MpiDefault=none
GresTypes=gpu
SwitchType=switch/none
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=8 RealMemory=4000 Gres=gpu:2
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=8 RealMemory=4000 Gres=gpu:2
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 OverSubscribe=NO
PartitionName=high Nodes=n1,n2 PriorityTier=10
END
printf 'Name=gpu File=/dev/%s\n' null zero >"$dir/gres.conf" # devices that every machine has in the place of GPUs

started=()
finish() {
	status=$?
	trap - EXIT
	[ $status = 0 ] || tail -n 40 "$dir"/{munged,slurmctld,n1,n2}.log >&2 || true
	scancel --user="$user" >/dev/null 2>&1 || true
	# The processes of this Slurm all name its folder: in their arguments, or their environment.
	kill "${started[@]}" 2>/dev/null || true
	for _ in $(seq 100); do
		left=$(grep -lsz "^SLURM_CONF=$SLURM_CONF$" /proc/[0-9]*/environ | cut -d/ -f3 | grep -vx "$$\|$BASHPID\|self" || true)
		[ -n "$left" ] || break
		kill -KILL $left 2>/dev/null || true
		sleep 0.05
	done
	rm -rf "$dir"
	exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

dd if=/dev/urandom of="$dir/munge/key" bs=128 count=1 status=none
chmod 0400 "$dir/munge/key"
munged --force --foreground --num-threads=4 --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" \
	--log-file="$dir/munge/log" --seed-file="$dir/munge/seed" >"$dir/munged.log" 2>&1 &
started+=($!)
for _ in $(seq 600); do [ -S "$dir/munge/socket" ] && break; sleep 0.1; done
slurmctld -D -c >/dev/null 2>&1 &
started+=($!)
disown # the shell need not tell how it ends
for node in n1 n2; do
	slurmd -D -N $node >/dev/null 2>&1 &
	started+=($!)
	disown
done
for _ in $(seq 600); do
	[ "$(sinfo -h -r -o %D 2>/dev/null | head -1)" = 2 ] && break
	sleep 0.1
done
"$@"
