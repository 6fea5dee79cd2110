#!/usr/bin/env bash
# Install each file of a release into a bare environment, and run the demo there.
#
#   deploy/try_release.sh FOLDER
#
# FOLDER is what deploy/build_release.sh made. PYTHON is the Python to try it with. TORCH_INDEX: where to take torch from.
set -euo pipefail
python=$(command -v "${PYTHON:-python3}")
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(cd "$1" && pwd)
(cd "$folder" && sha256sum --check --strict SHA256SUMS)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# nothing of the repository, and nothing of the caller's Python
cd "$work"
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV

for file in "$folder"/*.whl "$folder"/*.tar.gz; do
    echo "== $(basename "$file") with $("$python" --version)"
    "$python" -m venv "$work/venv"
    install() { "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$@"; }
    [ -z "${TORCH_INDEX:-}" ] || install --no-deps --index-url "$TORCH_INDEX" torch
    install "$file"
    "$work/venv/bin/python" -m pip check
    "$work/venv/bin/lsbatch" --version
    "$work/venv/bin/lsbatch" demo "$work/demo" --seed 901 --size 512x512
    "$work/venv/bin/lsbatch" evaluate "$work/demo/config.yaml" --json > "$work/scores.json"
    # the least that CI asks of the same country
    "$work/venv/bin/python" -c 'import json, sys; mcc = json.load(open(sys.argv[1]))["mcc"]; print("MCC", mcc); sys.exit(mcc < 0.75)' "$work/scores.json"
    rm -rf "$work/venv" "$work/demo"
done
