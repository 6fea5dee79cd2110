#!/usr/bin/env bash
# Build the wheel and the sdist of the last commit, and check that a second build gives the same bytes.
#
#   deploy/build_release.sh FOLDER
#
# FOLDER gets both files and SHA256SUMS; what was in it before is removed. PYTHON is a Python with the extra `release`.
set -euo pipefail
python=$(command -v "${PYTHON:-python3}")
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$(dirname "$1")"
folder=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$root"

refuse() { echo "no release: $*" >&2; exit 2; }
changes=$(git status --porcelain)
[ -z "$changes" ] || refuse "the working tree has changes that are not committed:"$'\n'"$changes"
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' lsbatch/__init__.py)
heading=$(grep -m 1 '^## ' CHANGELOG.md)
[[ "$heading" =~ ^"## $version - "[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] ||
    refuse "CHANGELOG.md begins with '$heading', but the version is $version; expected '## $version - YYYY-MM-DD'"

work=$(mktemp -d)
trap 'rm -rf "$work" "$folder.new"' EXIT
# times of files in the archives: that of the commit, not of the checkout
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# build TREE OUT: a checkout of the last commit in TREE, wheel and sdist in OUT
build() {
    mkdir -p "$1"
    git archive HEAD | tar --extract --no-same-permissions --directory "$1"
    # the wheel is built from the sdist; without isolation, because constraints.txt holds the version of hatchling
    "$python" -m build --no-isolation --outdir "$2" "$1" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
}
build "$work/lsbatch" "$work/first"
# what often makes bytes differ: another path, other permissions, time zone, locale and hash seed
(umask 077 && TZ=Asia/Kathmandu LC_ALL=C PYTHONHASHSEED=1 build "$work/another folder/with a longer path" "$work/second")
diff <(cd "$work/first" && sha256sum -- *) <(cd "$work/second" && sha256sum -- *) >&2 ||
    { echo "no release: two builds of the same commit differ" >&2; exit 1; }

"$python" -m twine --no-color check --strict "$work/first"/*
rm -rf "$folder.new"
mkdir "$folder.new"
cp "$work/first"/* "$folder.new"
(cd "$folder.new" && sha256sum -- * > SHA256SUMS)
rm -rf "$folder"
mv "$folder.new" "$folder"
cat "$folder/SHA256SUMS"
