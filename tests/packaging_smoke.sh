#!/usr/bin/env bash
# Builds the sdist and, from it, the wheel; checks both; installs each into a bare environment, outside of the checkout,
# and runs the tools there: tests/packaging_smoke.sh [what stands for "the stack", by default stack A's packages]
set -euo pipefail
PYTHON=${PYTHON:-python3}
STACK=("${@:-paddlepaddle==3.3.1 paddleseg==2.8.0}")
checkout=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$PYTHON" -m venv "$folder/build"
"$folder/build/bin/pip" install --quiet build twine
"$folder/build/bin/python" -m build --outdir "$folder/dist" "$checkout" > "$folder/build.log" || { cat "$folder/build.log"; exit 1; }
"$folder/build/bin/twine" check --strict "$folder"/dist/*

cd "$folder"
for file in dist/*.tar.gz dist/*.whl; do
    rm -rf bare
    "$PYTHON" -m venv bare
    # shellcheck disable=SC2086
    bare/bin/pip install --quiet "$file" ${STACK[*]}
    bare/bin/paddleseg-ext --help > /dev/null
    bare/bin/paddleseg-ext doctor
    test -f "$(bare/bin/paddleseg-ext configs)/sanet/sanet_s_street_256x128_230.yml"
    bare/bin/paddleseg-ext make_street_dataset --save_dir street --num_train 4 --num_val 4 --num_test 4 --size 128 64
    bare/bin/paddleseg-ext train --config "$(bare/bin/paddleseg-ext configs)/sanet/sanet_s_street_256x128_230.yml" \
        --device cpu --iters 1 --save_interval 1 --save_dir trained --num_workers 0 \
        --opts train_dataset.dataset_root=street val_dataset.dataset_root=street
    test -f trained/iter_1/model.pdparams
    bare/bin/pip uninstall --quiet --yes paddleseg_ext
    ! find bare -name '*paddleseg_ext*' | grep .
    rm -r street trained
    echo "$(basename "$file"): installed, ran and was removed"
done
