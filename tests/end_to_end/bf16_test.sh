#!/bin/sh
# --precision bf16: trains near fp32, goes on from fp32 and back, has one hash for every layout with --reproducible; on a CPU
# without bf16 it is refused. bf16_test.sh LOCKSTEP MPIRUN gpt|bert
# shellcheck disable=SC2046  # model_options are words
set -u
here=$(dirname "$0")
here=$(cd "$here" && pwd)
# shellcheck source=tests/end_to_end/common.sh
. "$here/common.sh"
model=$3
make_corpora 60

# train RANKS RUN OPTIONS...: the exit code is in $code, what it said in RUN.err.
train() {
  ranks=$1 run=$2
  shift 2
  "$mpirun" -n "$ranks" "$lockstep" pretrain $(model_options "$model") --steps 10 --learning-rate 1e-3 --warmup-steps 2 \
    --global-batch-size 8 --output "$run" --hash-weights --device cpu "$@" >"$run.log" 2>"$run.err"
  code=$?
}

# refused NAME: by a line that names the cure, before anything is written.
refused() {
  [ $code = 2 ] && [ ! -e "$1" ] && [ "$(grep -c 'lockstep: error: ' "$1.err")" = 1 ] &&
    grep -q 'AVX512_BF16 or AMX.* use --precision fp32' "$1.err"
  check $? "$model $1: refused (code $code)"
}

LOCKSTEP_CPU=scalar train 2 limited --precision bf16
refused limited
if ! grep -q -e avx512_bf16 -e amx_bf16 /proc/cpuinfo; then
  train 2 lacking --precision bf16
  refused lacking
  verdict
  exit
fi

train 1 fp32 --microbatch-size 8
train 1 bf16 --precision bf16 --microbatch-size 8
[ $code = 0 ] && within "$(worst fp32 bf16 10 1 10)" 1e-2
check $? "$model bf16: ten losses differ from fp32 by $(worst fp32 bf16 10 1 10)"
for options in "2 dp2 --microbatch-size 2" "2 tp2 --tp 2 --microbatch-size 4" "2 pp2 --pp 2 --microbatch-size 2"; do
  # shellcheck disable=SC2086  # options are words
  train $options --precision bf16
  run=$(echo "$options" | cut -d ' ' -f 2)
  [ $code = 0 ] && within "$(worst bf16 "$run" 10 1 1)" 1e-3 && within "$(worst bf16 "$run" 10 1 10)" 1e-2
  check $? "$model bf16 $run: step 1 differs by $(worst bf16 "$run" 10 1 1), all by $(worst bf16 "$run" 10 1 10)"
done

train 1 mixed --microbatch-size 8 --exit-at-step 4
train 1 mixed --microbatch-size 8 --exit-at-step 7 --precision bf16
train 1 mixed --microbatch-size 8
[ $code = 0 ] && within "$(worst fp32 mixed 10 1 10)" 1e-2
check $? "$model from fp32 to bf16 and back (code $code)"
"$lockstep" eval --device cpu --checkpoint bf16 --corpus "corpus-$model" --split train >eval.log 2>&1
check $? "$model: a bf16 run is evaluated in bf16"

train 1 reproducible --precision bf16 --reproducible --microbatch-size 8
train 2 reproducible-tp2 --precision bf16 --reproducible --tp 2 --microbatch-size 2
[ $code = 0 ] && [ "$(hash_of reproducible)" = "$(hash_of reproducible-tp2)" ]
check $? "$model bf16 --reproducible: one hash ($(hash_of reproducible | cut -c 1-12))"
verdict
