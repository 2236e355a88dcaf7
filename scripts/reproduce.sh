#!/usr/bin/env bash
# The results of all studies, from what is there: committed runs count as done, only what is missing is run; then tables,
# figures, verdicts and pages. Stop it when you like: the same command goes on.
#
#   scripts/reproduce.sh                   # epochs and seeds as the study files have them
#   scripts/reproduce.sh STUDY ...         # some of conf/study
#   SEEDS=10 scripts/reproduce.sh STUDY    # more seeds
#   FULL=1 scripts/reproduce.sh            # the reports' epochs where the studies have fewer, into results/STUDY_full
#   FRESH=1 scripts/reproduce.sh           # in a fresh clone: committed runs do not count, all is run anew
#   LAUNCHER=slurm scripts/reproduce.sh    # another launcher than packed
#
# Data: RECEPTIVE_DATA_DIR, or data/; a study whose data are missing is told, and the others go on. On two cores the
# reports' studies take about 10 hours, the searches and their recipes 5, FULL=1 about 28: the study files say how many
# minutes each. A study that was changed since its runs were committed is refused: delete results/STUDY (and
# outputs/studies/STUDY), and all of it is run anew.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in
  -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' scripts/reproduce.sh; exit 0 ;;
esac
for study in "$@"; do
  [ -f "conf/study/$study.yaml" ] && continue
  echo "reproduce: no study: $study; the studies are $(basename -s .yaml conf/study/*.yaml | paste -sd ' ')" >&2
  exit 2
done
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
"$python" -c "import receptive" 2>/dev/null || { echo "reproduce: $python has no receptive: make environment" >&2; exit 1; }

declare -A full=( # the reports' epochs; where they give none, our reading
  [cifar10_augmentation]=200 [cifar10_batch_norm]=200 [cifar10_optimizers]=200
  [cifar10_grid]=40 [cifar10_learning_rates]=30 [jsrt_unet]=50 [gtsrb_sign_net]=20
)
studies=("$@")
if [ $# = 0 ]; then
  mapfile -t studies < <(basename -s .yaml conf/study/*.yaml)
fi

failed=0
run() { # run COMMAND...: notes a failure and goes on; what a signal stopped stops all
  local code=0
  "$@" || code=$?
  [ "$code" -lt 128 ] || exit "$code"
  [ "$code" = 0 ] || failed=1
}
for study in "${studies[@]}"; do
  name=$study
  options=(study="$study" hydra/launcher="${LAUNCHER:-packed}")
  [ -z "${SEEDS:-}" ] || options+=("seed=range($SEEDS)")
  if [ -n "${FULL:-}" ]; then
    if [ -z "${full[$study]:-}" ]; then
      echo "$study: left out, no more epochs are known for it"
      continue
    fi
    name=${study}_full
    options+=(trainer.max_epochs="${full[$study]}" hydra.sweep.dir="outputs/studies/$name")
  fi
  [ -n "${FRESH:-}" ] || run "$python" scripts/results.py restore "$name"
  run "$python" -m receptive train "${options[@]}"
  run "$python" scripts/results.py collect --quiet "$name"
done
run "$python" scripts/results.py check
run "$python" scripts/results.py write
exit "$failed"
