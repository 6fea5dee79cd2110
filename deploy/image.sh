#!/bin/sh
# Build the image of lsbatch and list what is in it.
#
#   deploy/image.sh FOLDER TAG [more options of podman build]
#
# FOLDER gets sbom.cdx.json (Python packages, CycloneDX), debian-packages.txt and layers.txt (sizes). Needs podman, or
# buildah's `podman build`; PYTHON is a Python 3.11 with pip, for cyclonedx-bom, which is not put into the image.
set -eu
folder=$1 tag=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

podman build "$@" --layers --file "$root/deploy/Dockerfile" --tag "$tag" "$root"

[ -d "$folder/tools" ] || {
    "${PYTHON:-python3}" -m pip install --quiet --quiet --disable-pip-version-check \
        --no-warn-conflicts --root-user-action ignore --target "$folder/tools.new" cyclonedx-bom==7.5.0
    mv "$folder/tools.new" "$folder/tools"
}
in_image() {
    podman run --rm --network none --read-only --volume "$folder/tools:/sbom:ro" --entrypoint "$1" "$tag" "$2" "$3"
}
# the path is appended, not a variable: a variable would reach the Python that is listed
in_image python -c '
import runpy, sys
sys.path.append("/sbom")
sys.argv = ["cyclonedx-py", "environment", "--output-reproducible", "--no-validate", "/opt/lsbatch/bin/python"]
runpy.run_module("cyclonedx_py", run_name="__main__")
' > "$folder/sbom.cdx.json.new"
in_image dpkg-query --show '--showformat=${Package} ${Version} ${Architecture}\n' > "$folder/debian-packages.txt.new"
podman history --format '{{.Size}} {{.CreatedBy}}' "$tag" > "$folder/layers.txt.new"
for name in sbom.cdx.json debian-packages.txt layers.txt; do mv "$folder/$name.new" "$folder/$name"; done
echo "$tag; $folder: sbom.cdx.json, debian-packages.txt, layers.txt"
