#!/usr/bin/env bash
# Builds the image and runs every demo on it. Where no Docker engine runs and none can be started, it says so in a line.
#
#     docker/test.sh [DEMO]...        all of them, if none is named
set -euo pipefail
cd "$(dirname "$0")/.."
demos=("$@")
[ "${#demos[@]}" -gt 0 ] || demos=(tour failover partition rolling durability five)
python=${PYTHON_DEMO:-.venv/bin/python}
image=${PYTHON_IMAGE:-python:3.11-slim}
base_image=../shared/tools/python-base-image.sh
scratch=""
engine=""

clean_up() {
    [ -n "$scratch" ] || return 0
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
    # The engine leaves its own network namespace mounted there.
    umount "$scratch"/exec/netns/* 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean_up EXIT

if ! docker info >/dev/null 2>&1; then
    if ! command -v dockerd >/dev/null || [ "$(id -u)" -ne 0 ]; then
        echo "no Docker engine runs here, and none can be started: the image and the demos are not tested"
        exit 0
    fi
    scratch=$(mktemp -d)
    dockerd --data-root "$scratch/data" --exec-root "$scratch/exec" --pidfile "$scratch/pid" >"$scratch/log" 2>&1 &
    engine=$!
    for _ in $(seq 150); do
        docker info >/dev/null 2>&1 && break
        if ! kill -0 "$engine" 2>/dev/null; then
            echo "no Docker engine can be started here ($(tail -n 1 "$scratch/log" | cut -c 1-160)): the demos are not tested"
            exit 0
        fi
        read -rt 0.2 <> <(:) || :
    done
fi

# A machine that reaches no registry makes its own base.
if ! docker image inspect "$image" >/dev/null 2>&1 && ! docker pull --quiet "$image" >/dev/null 2>&1; then
    if [ ! -x "$base_image" ] || ! command -v debootstrap >/dev/null || ! "$base_image" "$image" >/dev/null; then
        echo "the base image $image cannot be had here: the demos are not tested"
        exit 0
    fi
fi
docker build --quiet --network host --build-arg "PYTHON=$image" --file docker/Dockerfile --tag ringkv . >/dev/null

size() { docker image inspect --format '{{.Size}}' "$1"; }
added=$((($(size ringkv) - $(size "$image")) / 1000000))
echo "the image adds $added MB to $image"
[ "$added" -le 120 ] || { echo "that is more than 120" >&2; exit 1; }

for demo in "${demos[@]}"; do
    "$python" "docker/demo/$demo.py"
done
