#!/usr/bin/env bash
# What a machine with a graphics card is asked, in 8 minutes at most: the tests on its device, how fast it trains and
# restores, where the time goes, and four minutes of training of the restorer of photographs from the weights that ship.
# A step that fails or takes too long does not keep the others from running; OUT/steps.txt says how each ended.
#
#   bash benchmarks/gpu.sh OUT CLEAN      OUT: a new folder; CLEAN: photographs to train on
#
# PYTHON: the interpreter that has indi. DRY=1 goes through all steps on the CPU, as small as they get.
set -u
out=${1:?give a folder for the results}
clean=${2:?give a folder of clean photographs}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../.venv/bin/python}
mkdir -p "$out"
failed=0
patience=1

step() { # name, most seconds, command
    local name=$1 most=$2 began=$SECONDS status
    shift 2
    timeout --kill-after=5 $((most * patience)) "$@" >"$out/$name.log" 2>&1
    status=$?
    echo "$name: $([ $status = 0 ] && echo done || echo "failed ($status)") after $((SECONDS - began)) s" | tee -a "$out/steps.txt"
    [ $status = 0 ] || failed=1
}

if [ "${DRY:-}" = 1 ]; then
    device=cpu
    patience=10  # a test's machine may be busy
    speed=(--help)
    crops=(--tasks pairs --crops 16 --rounds 1 --batches 1 --iterations 1 --makers 1)
    profile=(--size tiny --crop 16 --batch 2 --iterations 2)
    budget=(--iterations 2)
    settings=$out/settings.json
    echo '{"data": {"crop": 16, "batch": 2}}' >"$settings"
else
    device=cuda
    speed=(--device cuda --seconds 2)
    crops=(--batches 8 --rounds 1 --makers 1 4 8)
    profile=()
    budget=(--minutes 4)
    settings=$out/settings.json
    echo '{"data": {"crop": 128, "batch": 64, "gray": 0.1, "validation": 0.02}}' >"$settings"
fi

step tests 50 "$python" -m pytest -q -p no:cacheprovider "$here/../tests/training/test_on_device.py"
step speed 60 "$python" "$here/speed.py" "${speed[@]}"
step crops 40 "$python" "$here/crops.py" "${crops[@]}" --json "$out/crops.json"
step profile 50 "$python" "$here/profile_training.py" --clean "$clean" --device "$device" --out "$out/profile" "${profile[@]}"
step training 280 "$python" -m indi train --clean "$clean" --task photo --from photo --config "$settings" \
    --run "$out/run" --device "$device" "${budget[@]}"
exit $failed
