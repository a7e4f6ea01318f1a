#!/bin/bash
#SBATCH --job-name=raypipe
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
# sbatch cluster/slurm.sh jobs.curate --corpus /shared/corpus --output /shared/runs/one --model /shared/model
# Two minutes before the time is up the driver gets SIGTERM: it commits what is in flight and ends with status 143; the
# requeued job gives the same command and goes on.
set -euo pipefail

export RAY_AUTH_MODE=token
# a token of this job's own, not on any command line; srun passes the environment on
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))

srun --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port="$port" --dashboard-host=127.0.0.1 --block &
sleep 20
if ((SLURM_JOB_NUM_NODES > 1)); then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
        ray start --address="$address:$port" --block &
    sleep 20
fi

export RAY_ADDRESS="$address:$port"
python -m "$@" &
driver=$!
trap 'kill -TERM $driver' TERM
status=0
wait $driver || status=$?
while kill -0 $driver 2>/dev/null; do  # the trap ended the wait; the driver is still committing
    status=0
    wait $driver || status=$?
done
if ((status == 143)); then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
