#!/usr/bin/env bash
# Install a built wheel outside the checkout and use it there: what a user gets, without a checkout to lean on.
#
#     scripts/use_wheel.sh PYTHON WHEEL      # PYTHON: the interpreter of an environment with the dependencies
#
# The dependencies are borrowed from PYTHON's environment by a path file (the editable install in it is not:
# path files are read in the new environment's own folder only), so this takes seconds and no disk.
set -euo pipefail

absolute() { echo "$(cd "$(dirname "$1")" && pwd -P)/$(basename "$1")"; }  # the last link stays: it is the environment's
python=$(absolute "$1")
wheel=$(absolute "$2")
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
conf=$checkout/conf
dir=$(cd "$(mktemp -d)" && pwd -P)
trap 'rm -rf "$dir"' EXIT
purelib='import sysconfig; print(sysconfig.get_path("purelib"))'
unset PYTHONPATH

"$python" -m venv --without-pip "$dir/venv"
"$python" -m pip --python "$dir/venv/bin/python" install --quiet --no-deps --no-index "$wheel"
site=$("$dir/venv/bin/python" -c "$purelib")
"$python" -c "$purelib" >"$site/borrowed.pth"

cd "$dir"
where=$(venv/bin/python -c 'import receptive; print(receptive.__file__)')
[[ $where == "$dir"/* ]] || { echo "receptive comes from $where, not from the wheel" >&2; exit 1; }
files() { (cd "$1" && find . -type f -exec cksum {} + | sort -k 3); }
diff <(files "$conf") <(files "$site/receptive/conf") || { echo "the wheel's conf/ is not the checkout's" >&2; exit 1; }

export OMP_NUM_THREADS=1
venv/bin/receptive train data=digits trainer=debug "hydra.run.dir=$dir/run" </dev/null
[ -s run/result.json ] || { echo "the run left no result.json" >&2; exit 1; }
venv/bin/receptive train -m data=digits trainer=debug seed=0,1 "hydra.sweep.dir=$dir/sweep" </dev/null
[ "$(find sweep -name result.json | wc -l)" = 2 ] || { echo "the sweep left no two results" >&2; exit 1; }
[ -s sweep/report.html ] || { echo "the sweep left no report.html" >&2; exit 1; }
# The worked examples of docs/extending.md, with the wheel's code and conf/: the suite's test of them, without its src.
(cd "$checkout" && "$dir/venv/bin/python" -m pytest -q -o pythonpath= -p no:cacheprovider tests/docs/test_commands.py -k extending </dev/null)
echo "$(basename "$wheel"): installed outside the checkout, one run, one sweep and docs/extending.md done from its own conf/"
