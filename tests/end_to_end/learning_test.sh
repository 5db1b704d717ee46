#!/bin/sh
# Both models learn a text of three documents by heart on two ranks: the loss falls below a bound that guessing cannot reach.
# learning_test.sh LOCKSTEP MPIRUN
# shellcheck disable=SC2046  # model_options are words
set -u
here=$(dirname "$0")
here=$(cd "$here" && pwd)
# shellcheck source=tests/end_to_end/common.sh
. "$here/common.sh"
make_corpora 3

# learns MODEL BOUND OPTIONS...: mean loss of the last ten steps.
learns() {
  model=$1 bound=$2
  shift 2
  must "$mpirun" -n 2 "$lockstep" pretrain $(model_options "$model" 64 0) --weight-decay 0 --warmup-steps 20 \
    --global-batch-size 16 --microbatch-size 8 --log-every 50 --output "$model" "$@"
  first=$(losses "$model" | head -n 1 | cut -d ' ' -f 2)
  last=$(losses "$model" | tail -n 10 | awk '{ sum += $2 } END { print sum / NR }')
  within "$last" "$bound"
  check $? "$model: loss from $first to $last, bound $bound"
}
learns gpt 0.4 --steps 300 --learning-rate 3e-3
# 0.69 is what a coin gives next-sentence prediction alone.
learns bert 0.69 --steps 600 --learning-rate 5e-3
verdict
