#!/usr/bin/env bash
# The results of all studies, from what is there: committed runs count as done, only what is missing is run; then tables,
# figures, verdicts and pages. Stop it when you like: the same command goes on.
#
#   scripts/reproduce.sh                   # this edition: epochs and seeds as the study files have them
#   scripts/reproduce.sh STUDY ...         # some of conf/study
#   SEEDS=10 scripts/reproduce.sh STUDY    # more seeds
#   FULL=1 scripts/reproduce.sh            # the reports' epochs where this edition has fewer, into results/STUDY_full
#   LAUNCHER=slurm scripts/reproduce.sh    # another launcher than packed
#
# Data: RECEPTIVE_DATA_DIR, or data/. Hours on two cores: the study files say how many minutes each.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3

declare -A full=( # the reports' epochs; where they give none, our reading
  [cifar10_augmentation]=200 [cifar10_batch_norm]=200 [cifar10_optimizers]=200
  [cifar10_grid]=40 [cifar10_learning_rates]=30 [jsrt_unet]=50 [gtsrb_sign_net]=20
)
studies=("$@")
if [ $# = 0 ]; then
  mapfile -t studies < <(basename -s .yaml conf/study/*.yaml)
fi

failed=0
for study in "${studies[@]}"; do
  name=$study
  options=(study="$study" hydra/launcher="${LAUNCHER:-packed}")
  [ -z "${SEEDS:-}" ] || options+=("seed=range($SEEDS)")
  if [ -n "${FULL:-}" ]; then
    [ -n "${full[$study]:-}" ] || continue # has the reports' epochs already
    name=${study}_full
    options+=(trainer.max_epochs="${full[$study]}" hydra.sweep.dir="outputs/studies/$name")
  fi
  "$python" scripts/results.py restore "$name"
  "$python" -m receptive train "${options[@]}" || failed=1 # a failed run is told in its table; the others go on
  "$python" scripts/results.py collect --quiet "$name"
done
"$python" scripts/results.py check
"$python" scripts/results.py write
exit "$failed"
