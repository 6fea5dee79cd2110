#!/bin/bash
# A survey as job arrays without any scheduler of ours: one array a stage, then one job for what needs all tiles.
#
#   deploy/slurm/submit.sh CONFIG PARTS [options of sbatch]
#
# Ends at once; the jobs wait for each other in the queue. Stages that look beyond their tile need every part of the
# stage before, so each array begins when the one before has ended - however it ended: a tile that failed stops no other
# tile, and the last job does what a lost part left. Run it again to go on: what is done is not done again.
#
# Environment: LSBATCH, LSBATCH_SETUP, LSBATCH_REQUEUES as in run.sbatch;
#              LSBATCH_PREDICT  more options of sbatch for predictions alone, e.g. "--partition=gpu --gres=gpu:1"
set -euo pipefail

usage="submit.sh: usage: submit.sh CONFIG PARTS [options of sbatch]"
[ $# -ge 2 ] || { echo "$usage" >&2; exit 2; }
config=$1 parts=$2
shift 2
[[ "$parts" =~ ^[1-9][0-9]*$ ]] || { echo "$usage; PARTS = $parts is no number from 1" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -n "${LSBATCH_SETUP:-}" ]; then
    set +u
    # shellcheck source=/dev/null
    . "$LSBATCH_SETUP"
    set -u
fi

# A part that no tile is in: settings and weights are checked here and now, and the plan is made once for all parts.
"${LSBATCH:-lsbatch}" run "$config" --part 1000000/1000000

read -r -a for_predict <<<"${LSBATCH_PREDICT:-}"
after=()
# the last array goes as far as single tiles go
for stage in stack predict clean ""; do
    own=()
    [ "$stage" != predict ] || own=("${for_predict[@]}")
    id=$(sbatch --parsable --array="1-$parts" --job-name="lsbatch-${stage:-outline}" "${after[@]}" "$@" "${own[@]}" \
        "$here/run.sbatch" "$config" ${stage:+--until "$stage"})
    # of a federation --parsable also names the cluster
    after=(--dependency="afterany:${id%%;*}")
    echo "lsbatch-${stage:-outline}: job ${id%%;*}"
done
id=$(sbatch --parsable --job-name=lsbatch-report "${after[@]}" "$@" "$here/run.sbatch" "$config")
echo "lsbatch-report: job ${id%%;*}; its exit code is the survey's"
