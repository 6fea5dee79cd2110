#!/bin/bash
# A survey as job arrays without a Dask scheduler: one array a stage, then one job for the steps that need all tiles.
#
#   deploy/slurm/submit.sh CONFIG PARTS [options of sbatch]
#
# Ends at once; the jobs wait for each other in the queue. Stages that read neighbouring tiles need every part of the
# stage before, so each array starts when the one before has ended, successfully or not: a failed tile does not stop
# others, and the last job computes the tiles of lost parts. Run it again to continue: finished tiles are kept.
#
# Environment: LSBATCH, LSBATCH_SETUP, LSBATCH_REQUEUES as in run.sbatch;
#              LSBATCH_PREDICT  more options of sbatch for predictions only, e.g. "--partition=gpu --gres=gpu:1"
set -euo pipefail

usage="submit.sh: usage: submit.sh CONFIG PARTS [options of sbatch]"
[ $# -ge 2 ] || { echo "$usage" >&2; exit 2; }
config=$1 parts=$2
shift 2
[[ "$parts" =~ ^[1-9][0-9]*$ ]] || { echo "$usage; PARTS = $parts is not a number from 1" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -n "${LSBATCH_SETUP:-}" ]; then
    set +u
    # shellcheck source=/dev/null
    . "$LSBATCH_SETUP"
    set -u
fi

# A part without tiles: it checks settings and weights now, and makes the plan once for all parts.
"${LSBATCH:-lsbatch}" run "$config" --part 1000000/1000000

read -r -a for_predict <<<"${LSBATCH_PREDICT:-}"
after=()
# the last array runs all remaining stages of single tiles
for stage in stack predict clean ""; do
    own=()
    [ "$stage" != predict ] || own=("${for_predict[@]}")
    id=$(sbatch --parsable --array="1-$parts" --job-name="lsbatch-${stage:-outline}" "${after[@]}" "$@" "${own[@]}" \
        "$here/run.sbatch" "$config" ${stage:+--until "$stage"})
    # in a federation --parsable also prints the cluster
    after=(--dependency="afterany:${id%%;*}")
    echo "lsbatch-${stage:-outline}: job ${id%%;*}"
done
id=$(sbatch --parsable --job-name=lsbatch-report "${after[@]}" "$@" "$here/run.sbatch" "$config")
echo "lsbatch-report: job ${id%%;*}; its exit code is the survey's"
