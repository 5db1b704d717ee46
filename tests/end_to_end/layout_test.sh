#!/bin/sh
# The same run on every layout: losses of 6 steps with dropout against one rank.
# layout_test.sh LOCKSTEP MPIRUN gpt|bert
# shellcheck disable=SC2046  # model_options are words
set -u
here=$(dirname "$0")
here=$(cd "$here" && pwd)
# shellcheck source=tests/end_to_end/common.sh
. "$here/common.sh"
model=$3
make_corpora 60

dropout=0.1
# train RANKS RUN OPTIONS...
train() {
  ranks=$1 run=$2
  shift 2
  must "$mpirun" -n "$ranks" "$lockstep" pretrain $(model_options "$model" 32 $dropout) --steps 6 --learning-rate 1e-3 \
    --decay constant --global-batch-size 8 --output "$run" "$@"
}

# same NAME PRECISION RANKS OPTIONS...: fp64 leaves no room for an error of logic; fp32 leaves that of the order of sums, which
# training enlarges from step to step.
same() {
  name=$1 precision=$2
  ranks=$3
  shift 3
  train "$ranks" "$precision-$name" --precision "$precision" "$@"
  first=$(worst "$precision-one" "$precision-$name" 6 1 1)
  all=$(worst "$precision-one" "$precision-$name" 6 1 6)
  case $precision in
    fp64) within "$first" 1e-9 && within "$all" 1e-9 ;;
    fp32) within "$first" 1e-6 && within "$all" 1e-5 ;;
  esac
  check $? "$model $precision $name: step 1 differs by $first, steps 1 to 6 by $all"
}

for precision in fp64 fp32; do
  train 1 "$precision-one" --precision "$precision" --microbatch-size 8
  same microbatches "$precision" 1 --microbatch-size 2
  same dp2 "$precision" 2 --microbatch-size 2
  same tp2 "$precision" 2 --tp 2 --microbatch-size 4
  same tp2pp2 "$precision" 4 --tp 2 --pp 2 --microbatch-size 2
done
same pp2 fp64 2 --pp 2 --microbatch-size 2
same pp2gpipe fp64 2 --pp 2 --microbatch-size 2 --schedule gpipe
same pp2zb-h1 fp64 2 --pp 2 --microbatch-size 2 --schedule zb-h1
same dp2zero fp64 2 --zero 1 --microbatch-size 2
same dp2pp2zero fp32 4 --pp 2 --zero 1 --microbatch-size 1

# The schedules of one layout add in the same order.
[ "$(losses fp64-pp2)" = "$(losses fp64-pp2gpipe)" ] && [ "$(losses fp64-pp2)" = "$(losses fp64-pp2zb-h1)" ]
check $? "$model: gpipe, 1f1b and zb-h1 give the same bits"
# Dropout was there: equal losses must not come from masks that nobody drew.
dropout=0
train 1 without --precision fp64 --microbatch-size 8
! within "$(worst fp64-one without 6 1 6)" 1e-5
check $? "$model: a run without dropout differs"
verdict
