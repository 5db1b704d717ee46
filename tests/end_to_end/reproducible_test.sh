#!/bin/sh
# --reproducible: one hash over losses, gradient norms and weights for every layout, instruction set and resume.
# reproducible_test.sh LOCKSTEP MPIRUN gpt|bert
# shellcheck disable=SC2046  # model_options are words
set -u
here=$(dirname "$0")
here=$(cd "$here" && pwd)
# shellcheck source=tests/end_to_end/common.sh
. "$here/common.sh"
model=$3
make_corpora 60

# train RANKS RUN OPTIONS...: eight data shards of two sequences.
train() {
  ranks=$1 run=$2
  shift 2
  must "$mpirun" -n "$ranks" "$lockstep" pretrain $(model_options "$model" | sed "s/--layers 2/--layers 4/") --steps 3 --learning-rate 1e-3 \
    --decay constant --clip-norm 1 --global-batch-size 16 --reproducible --output "$run" "$@"
}

# digest RUN: what must be equal, as text; a step done twice counts with its last line.
digest() {
  sed -n 's/^{"event":"step","step":\([0-9]*\),\("loss":.*\),"learning_rate".*/\1 \2/p' "$1/metrics.jsonl" |
    awk '{ row[$1] = $0 } END { for (s = 1; s <= 3; ++s) print row[s] }'
  hash_of "$1"
}

# same NAME RANKS OPTIONS...
same() {
  name=$1
  shift
  train "$1" "$name" $(shift && echo "$@")
  [ "$(digest "$name")" = "$wanted" ]
  check $? "$model $name: $(hash_of "$name" | cut -c 1-12)"
}

train 1 one --microbatch-size 16
wanted=$(digest one)
[ "$(echo "$wanted" | wc -l)" = 4 ] && [ -n "$(hash_of one)" ]
check $? "$model on one rank: $(hash_of one | cut -c 1-12)"

same shards-8 1 --microbatch-size 2
same shards-4 1 --microbatch-size 4
same half-shards 1 --microbatch-size 1
same recompute 1 --microbatch-size 8 --recompute full
same dp2 2 --microbatch-size 8
same dp2-zero 2 --microbatch-size 1 --zero 1
same tp2 2 --tp 2 --microbatch-size 4
same tp4 4 --tp 4 --microbatch-size 2
same pp2 2 --pp 2 --microbatch-size 2
same pp2-zb-h1 2 --pp 2 --microbatch-size 1 --schedule zb-h1
same dp2-tp2-zero 4 --tp 2 --zero 1 --microbatch-size 2
same dp2-pp2 4 --pp 2 --microbatch-size 1 --schedule gpipe
same pp2-interleaved 2 --pp 2 --microbatch-size 2 --schedule interleaved --virtual-stages 2
same pp2-zb-v 2 --pp 2 --microbatch-size 4 --schedule zb-v
same sequence-parallel 2 --tp 2 --sequence-parallel --microbatch-size 8 --recompute selective
same sequence-parallel-4 4 --tp 4 --sequence-parallel --microbatch-size 1
same cp2 2 --cp 2 --microbatch-size 8
same dp2-cp2-zero 4 --cp 2 --microbatch-size 2 --zero 1
same cp2-tp2 4 --cp 2 --tp 2 --sequence-parallel --microbatch-size 1 --recompute selective
same cp2-pp2 4 --cp 2 --pp 2 --microbatch-size 4

for set in scalar avx2 avx512; do
  export LOCKSTEP_CPU=$set
  "$lockstep" version >/dev/null 2>&1 || continue  # not on this CPU
  same "$set" 2 --tp 2 --microbatch-size 4
  unset LOCKSTEP_CPU
done
unset LOCKSTEP_CPU

train 2 chain --tp 2 --microbatch-size 4 --exit-at-step 1
train 4 chain --pp 2 --microbatch-size 1 --exit-at-step 2
train 1 chain --microbatch-size 16
[ "$(digest chain)" = "$wanted" ]
check $? "$model resumed twice on other layouts: $(hash_of chain | cut -c 1-12)"
verdict
