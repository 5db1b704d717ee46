#!/bin/sh
# What the built binary answers to wrong and right command lines: exit code, one error line on stderr, nothing on stdout.
# cli_test.sh LOCKSTEP [MPIRUN]
# shellcheck disable=SC2016  # $1 belongs to the inner sh
set -u
lockstep=$1
mpirun=${2:-mpirun}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

# refused CODE PATTERN COMMAND...: one error line that holds PATTERN, and that code.
refused() {
  wanted=$1 pattern=$2
  shift 2
  "$@" >out 2>err </dev/null
  code=$?
  lines=$(grep -c 'lockstep: error: ' err)
  if [ "$code" != "$wanted" ] || [ "$lines" != 1 ] || ! grep -q -e "$pattern" err || [ -s out ]; then
    failures=$((failures + 1))
    echo "FAIL: $* -> code $code (wanted $wanted), $lines error lines, wanted '$pattern':"
    cat err
  fi
}

# prints PATTERN COMMAND...: exit code 0, stdout holds PATTERN, nothing on stderr.
prints() {
  pattern=$1
  shift
  "$@" >out 2>err </dev/null
  code=$?
  if [ "$code" != 0 ] || ! grep -q -e "$pattern" out || [ -s err ]; then
    failures=$((failures + 1))
    echo "FAIL: $* -> code $code, no '$pattern' in its output:"
    cat out err
  fi
}

refused 2 'no command' "$lockstep"
refused 2 'pretrian .* pretrain' "$lockstep" pretrian
refused 2 'corpus.* build, info, verify, show' "$lockstep" corpus
refused 2 'corpus.* not bulid' "$lockstep" corpus bulid
refused 2 '--output is missing' "$lockstep" corpus build --tokenizer bytes text
refused 2 '--lerning-rate .*--learning-rate' "$lockstep" pretrain --lerning-rate 1
refused 2 '--steps is -1' "$lockstep" pretrain --corpus c --output o --steps -1
refused 2 '--mask-probability.* causal\|corpus c is not there' "$lockstep" pretrain --corpus c --output o --mask-probability 0.2
refused 78 'LOCKSTEP_RANKS is 3.* 1 rank' env LOCKSTEP_RANKS=3 "$lockstep" pretrain --nonsense
refused 78 'rank' "$lockstep" pretrain --corpus c --output o --tp 2
# On any CPU; whether this one has bf16 is for tests/end_to_end/bf16_test.sh.
refused 2 'bf16: .*AVX512_BF16 or AMX.* use --precision fp32' env LOCKSTEP_CPU=scalar "$lockstep" bench --device cpu --precision bf16 --steps 1
refused 2 'bf16: .*AVX512_BF16 or AMX.* use --precision fp32' env LOCKSTEP_CPU=scalar "$lockstep" pretrain --corpus c --output o --device cpu --precision bf16
refused 2 '--cuda-graph is for a GPU' "$lockstep" bench --device cpu --cuda-graph --steps 1
refused 2 '--gelu-epilogue is for a GPU' "$lockstep" bench --device cpu --gelu-epilogue --steps 1
refused 2 '--tf32 is for a GPU' "$lockstep" bench --device cpu --tf32 --steps 1
refused 2 '--trace does not go with --cuda-graph' "$lockstep" pretrain --corpus c --output o --trace --cuda-graph
refused 2 '--transport has no effect on the CPU' "$lockstep" bench --device cpu --transport staged --steps 1
refused 2 '--attention cudnn has no effect on the CPU' "$lockstep" bench --device cpu --attention cudnn --steps 1
refused 2 'nowhere' "$lockstep" tokenizer encode --tokenizer nowhere
refused 2 'nowhere' "$lockstep" corpus info nowhere
refused 2 'characters' "$lockstep" tokenizer train --kind characters --vocab-size 9 --output v text
refused 2 '--vocab-size is missing' "$lockstep" tokenizer train --kind bpe --output v text
refused 2 '--times is 1,2' "$lockstep" schedule show --stages 2 --microbatches 4 --times 1,2
refused 2 'standard input, line 1' sh -c 'echo 1 x | "$1" tokenizer decode --tokenizer bytes' sh "$lockstep"
refused 2 "does not take the argument 'more'" "$lockstep" models more

prints '^usage: lockstep COMMAND' "$lockstep" --help
prints '^usage: lockstep pretrain' "$lockstep" pretrain --help
prints '^usage: lockstep corpus build' "$lockstep" help corpus build
prints '^lockstep [0-9]' "$lockstep" --version
prints '^CPU features in use' "$lockstep" version
if "$lockstep" version | grep -q '^CUDA: yes'; then
  prints '^CUDA runtime: [0-9]*\.[0-9]*$' "$lockstep" version
  prints '^cuBLASLt: [0-9]*\.[0-9]*\.[0-9]*$' "$lockstep" version
  for library in cuDNN NCCL GPUs; do
    prints "^$library: ." "$lockstep" version
  done
else
  prints '^CUDA: no$' "$lockstep" version
fi
prints '^gpt2-124m .* 124' "$lockstep" models
prints '"makespan"' "$lockstep" schedule show --stages 2 --microbatches 4 --json
prints '^104 105$' sh -c 'printf hi | "$1" tokenizer encode --tokenizer bytes' sh "$lockstep"
prints '^hi$' sh -c 'echo 104 105 | "$1" tokenizer decode --tokenizer bytes' sh "$lockstep"

# A reader that leaves early is no error of ours.
"$lockstep" help --markdown 2>err | head -n 1 >/dev/null
if [ -s err ]; then
  failures=$((failures + 1))
  echo "FAIL: a closed pipe made noise:"
  cat err
fi
# A full disk behind stdout is one.
if [ -w /dev/full ]; then
  "$lockstep" models >/dev/full 2>err
  code=$?
  if [ "$code" != 1 ] || ! grep -q 'standard output' err; then
    failures=$((failures + 1))
    echo "FAIL: stdout on a full disk -> code $code"
  fi
fi

# On two ranks everything is said once.
refused 2 '--steps is -1' "$mpirun" -n 2 "$lockstep" pretrain --corpus c --output o --steps -1
refused 78 'LOCKSTEP_RANKS is 3.* 2 ranks' "$mpirun" -n 2 env LOCKSTEP_RANKS=3 "$lockstep" pretrain --corpus c --output o
refused 2 'pretrian' "$mpirun" -n 2 "$lockstep" pretrian
"$mpirun" -n 2 "$lockstep" models >out 2>err </dev/null
if [ "$(grep -c '^gpt2-124m ' out)" != 1 ]; then
  failures=$((failures + 1))
  echo "FAIL: models on two ranks:"
  cat out err
fi

[ "$failures" = 0 ] && echo "all as it should be"
[ "$failures" = 0 ]
