#!/bin/bash
#SBATCH --job-name=raypipe
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
# sbatch cluster/slurm.sh jobs.curate --corpus /shared/corpus --output /shared/runs/one --model /shared/model
# (from a clone, with an environment that has raypipe; sbatch --wait ends with the job's own status)
# Two minutes before the time is up the driver commits what is in flight, and the job goes back into the queue, where
# the same command goes on. To stop it: scancel --batch --signal=TERM JOB commits what is in flight, status 143;
# scancel JOB ends everything at once. In both cases the same sbatch goes on.
set -euo pipefail

export RAY_AUTH_MODE=token
# a token of this job's own, not on any command line; srun passes the environment on
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

driver='' signalled=''
stop() {
    signalled=$1
    [[ -z $driver ]] || kill -TERM "$driver"
}
trap 'stop USR1' USR1  # by --signal
trap 'stop TERM' TERM
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

# in the background; srun of Slurm 22.05 and newer doesn't take --cpus-per-task from the job
on() { exec srun --nodes="$1" --ntasks="$1" --cpus-per-task="$SLURM_CPUS_PER_TASK" "${@:2}" --num-cpus="$SLURM_CPUS_PER_TASK" --block; }

head=$SLURMD_NODENAME  # the script runs on the first node
address=$(hostname --all-ip-addresses | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))
export RAY_ADDRESS="$address:$port"
on 1 --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port="$port" --dashboard-host=127.0.0.1 &
others=$((SLURM_JOB_NUM_NODES - 1))
if ((others > 0)); then
    on "$others" --exclude="$head" bash -c '
        until ray health-check --address "$0" 2>/dev/null; do sleep 1; done
        exec ray start --address="$0" "$@"' "$RAY_ADDRESS" &
fi
starting=$(jobs -p)

python - "$SLURM_JOB_NUM_NODES" <<'EOF' &
import sys, time, ray
wanted, end, alive = int(sys.argv[1]), time.monotonic() + 300, 0
while alive < wanted:
    if time.monotonic() > end:
        sys.exit(f"only {alive} of {wanted} machines have joined Ray after 5 minutes; see what their steps said above.")
    try:
        ray.is_initialized() or ray.init(logging_level="ERROR", log_to_driver=False)
        alive = sum(node["Alive"] for node in ray.nodes())
    except ConnectionError:
        pass
    time.sleep(1)
EOF
ready=$!
# shellcheck disable=SC2086
if ! wait -n -p ended $starting $ready || [[ $ended != "$ready" ]]; then
    [[ -n $signalled ]] || { echo "error: Ray didn't start on all machines of the job; see above." >&2; exit 1; }
fi

status=143
if [[ -z $signalled ]]; then
    status=0
    python -m "$@" &
    driver=$!
    wait $driver || status=$?
    while kill -0 $driver 2>/dev/null; do  # the trap ended the wait; the driver is still committing
        status=0
        wait $driver || status=$?
    done
fi
if [[ $signalled == USR1 && $status == 143 ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
