#!/bin/bash
# The same run on the CPU and on the GPU: losses of 10 steps in fp32 and bf16, layouts of ranks that share the GPU, and runs
# that move between the two. Ends with 77 where there is no GPU.
# device_test.sh LOCKSTEP MPIRUN
# shellcheck disable=SC2046  # model_options are words
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/end_to_end/common.sh
. "$here/common.sh"
if ! "$lockstep" bench --model bert-tiny --sequence-length 16 --microbatch-size 1 --global-batch-size 1 --steps 1 \
  --device cuda >bench.log 2>&1; then
  grep -q 'lockstep: error: --device cuda' bench.log || { cat bench.log; exit 1; }
  echo "skipped: $(sed 's/^lockstep: error: //' bench.log)"
  exit 77
fi
make_corpora 60

# Told before the first step: memory that will not do, with what it is for and what would help.
"$mpirun" -n 2 "$lockstep" bench --model gpt2-1558m --layers 4000 --device cuda --microbatch-size 8 --global-batch-size 16 \
  --steps 1 >memory.log 2>&1
code=$?
[ $code = 2 ] && grep -q 'error: --device cuda: cuda:[01] has .* GB free of .*, and rank [01] will need .* GB: parameters [0-9.]*, gradients .*; use a --microbatch-size below 8, --recompute full, --zero 1, more ranks' memory.log
check $? "a model that no GPU holds is refused (code $code): $(grep -m 1 error: memory.log)"
# A real driver is not older than the build; the emulated one is when asked.
if LOCKSTEP_EMULATED_DRIVER=12080 "$lockstep" bench --model bert-tiny --device cuda --steps 1 >driver.log 2>&1; then
  echo "ok    no emulated driver here"
else
  grep -q 'error: --device cuda: the NVIDIA driver is for CUDA 12.8, this build wants CUDA 13.0: update the driver' driver.log
  check $? "a driver that is too old is named with its version and the one wanted"
fi

# train RANKS MODEL RUN OPTIONS...
train() {
  local ranks=$1 model=$2 run=$3
  shift 3
  must "$mpirun" -n "$ranks" "$lockstep" pretrain $(model_options "$model" 32 0.1) --steps 10 --learning-rate 1e-3 \
    --decay constant --global-batch-size 8 --output "$run" "$@"
}

# same NAME BOUND: the run of that name against the CPU's.
same() {
  local difference
  difference=$(worst "$model-cpu" "$model-$1" 10 1 10)
  within "$difference" "$2"
  check $? "$model $1: losses of 10 steps differ from the CPU's by $difference"
}

# graphs RUN PRECISION: four steps, and as graphs. --reproducible: no algorithm is chosen by the clock.
graphs() {
  local four_steps="--device cuda --precision $2 --reproducible --microbatch-size 4 --exit-at-step 4"
  # shellcheck disable=SC2086  # options are words
  train 1 "$model" "$1-ops" $four_steps && train 1 "$model" "$1-graph" $four_steps --cuda-graph
  [ -n "$(losses "$1-graph")" ] && [ "$(losses "$1-ops")" = "$(losses "$1-graph")" ]
  check $? "$model --reproducible $2: equal losses of two runs, one with --cuda-graph"
}

for model in gpt bert; do
  train 1 $model $model-cpu --device cpu --microbatch-size 4
  train 1 $model $model-gpu --device cuda --microbatch-size 4
  same gpu 1e-5
done
model=gpt
train 2 gpt gpt-tp2 --device cuda --tp 2 --microbatch-size 4
same tp2 1e-5
train 2 gpt gpt-pp2 --device cuda --pp 2 --microbatch-size 2
same pp2 1e-5
# By an MPI that takes the GPU's memory: the same sums, so the same bits. Where it does not, and where two ranks share a GPU,
# what is asked for is refused.
export LOCKSTEP_EMULATED_MPI=cuda-aware
for transport in cuda-aware nccl; do
  # shellcheck disable=SC2046  # options are words
  "$mpirun" -n 2 "$lockstep" pretrain $(model_options gpt 32 0.1) --steps 10 --learning-rate 1e-3 --decay constant \
    --global-batch-size 8 --output gpt-$transport --device cuda --transport $transport --tp 2 --microbatch-size 4 >$transport.log 2>&1
  code=$?
  if [ $code = 2 ]; then
    grep -q -e 'does not say that it takes the memory of GPUs' -e 'ranks share a GPU' -e 'libnccl' $transport.log
    check $? "gpt $transport: refused, $(grep -m 1 'error: ' $transport.log)"
  elif [ $transport = cuda-aware ]; then
    [ $code = 0 ] && [ "$(losses gpt-cuda-aware)" = "$(losses gpt-tp2)" ]
    check $? "gpt cuda-aware: the losses of the staged run"
  else
    same nccl 1e-5
  fi
done
LOCKSTEP_EMULATED_MPI=wrong "$mpirun" -n 2 "$lockstep" bench --model gpt-nano --tp 2 --device cuda --transport cuda-aware \
  --steps 1 >wrong.log 2>&1
code=$?
[ $code = 0 ] || { [ $code = 2 ] && grep -q -e 'test messages arrived wrong' -e 'does not say' wrong.log; }
check $? "an MPI that loses bytes of GPU memory is refused (code $code)"
unset LOCKSTEP_EMULATED_MPI
# Work launched as graphs, with other dropout masks every step: the same bits. Not where ranks wait for each other.
for model in gpt bert; do
  graphs $model-gpu fp32
done
"$mpirun" -n 2 "$lockstep" bench --model gpt-nano --tp 2 --device cuda --cuda-graph --steps 1 >graph.log 2>&1
[ $? = 2 ] && grep -q -e '--cuda-graph is for a run of one rank, and this one has 2' graph.log
check $? "--cuda-graph on two ranks is refused"
model=gpt
train 2 gpt gpt-dp2zero --device cuda --zero 1 --gelu-epilogue --microbatch-size 4
same dp2zero 1e-5
train 2 gpt gpt-cp2 --device cuda --cp 2 --microbatch-size 4
same cp2 1e-5
model=bert
train 4 bert bert-tp2pp2 --device cuda --tp 2 --pp 2 --microbatch-size 2
same tp2pp2 1e-5
train 2 bert bert-cp2 --device cuda --cp 2 --microbatch-size 4
same cp2 1e-5
# Saved on the GPU, continued on the CPU, and back on the GPU.
train 1 bert bert-moved --device cuda --microbatch-size 4 --exit-at-step 3
train 1 bert bert-moved --device cpu --microbatch-size 4 --exit-at-step 6
train 1 bert bert-moved --device cuda --microbatch-size 4
same moved 1e-5

# In bf16: near fp32, whatever the layout; the CPU goes on from it in bf16 where it has that, else in fp32.
bf16='--device cuda --precision bf16'
on_cpu=fp32
if grep -q -e avx512_bf16 -e amx_bf16 /proc/cpuinfo; then on_cpu=bf16; fi
# shellcheck disable=SC2086  # options are words
for model in gpt bert; do
  train 1 $model $model-bf16 $bf16 --microbatch-size 4
  same bf16 1e-2
  graphs $model-bf16 bf16
  [ "$(losses $model-bf16)" != "$(losses $model-gpu)" ]
  check $? "$model bf16: rounds what fp32 does not"
  train 4 $model $model-bf16-tp2pp2 $bf16 --tp 2 --pp 2 --microbatch-size 2
  same bf16-tp2pp2 1e-2
  train 1 $model $model-bf16-moved $bf16 --microbatch-size 4 --exit-at-step 3
  train 1 $model $model-bf16-moved --device cpu --precision $on_cpu --microbatch-size 4 --exit-at-step 6
  train 1 $model $model-bf16-moved $bf16 --microbatch-size 4
  same bf16-moved 1e-2
  "$mpirun" -n 4 "$lockstep" verify $(model_options "$model" 32 0.1) $bf16 --tp 2 --pp 2 --global-batch-size 8 \
    --microbatch-size 2 >verify.log 2>&1
  check $? "$model bf16 tp2pp2: losses, norms and gradients of 3 steps are those of one rank on the CPU in bf16"
done

# Attention by kernels of ours, and by cuDNN where it is: other roundings, so other bits.
model=gpt
# shellcheck disable=SC2086  # options are words
for attention in plain deterministic; do
  train 1 gpt gpt-$attention $bf16 --attention $attention --microbatch-size 4
  same $attention 1e-2
done
# shellcheck disable=SC2086  # options are words
"$lockstep" bench --model gpt-nano $bf16 --attention cudnn --microbatch-size 1 --global-batch-size 1 --steps 1 >cudnn.log 2>&1
code=$?
if [ $code = 0 ]; then
  [ "$(losses gpt-plain)" != "$(losses gpt-deterministic)" ]
  check $? "--attention cudnn: is there, and rounds what plain does not"
else
  [ $code = 2 ] && grep -q 'error: --attention cudnn: .*; use --attention auto or plain' cudnn.log
  check $? "--attention cudnn: refused, $(grep -m 1 'error: ' cudnn.log)"
fi
# shellcheck disable=SC2086  # options are words
"$lockstep" bench --model gpt-nano $bf16 --attention cudnn --reproducible --steps 1 >order.log 2>&1
[ $? = 2 ] && grep -q 'error: --attention cudnn sums in an order that changes; with --reproducible use' order.log
check $? "--attention cudnn: refused with --reproducible"
"$mpirun" -n 2 "$lockstep" bench --model gpt-nano --tp 2 --device cuda --transport nccl --reproducible --steps 1 >order.log 2>&1
[ $? = 2 ] && grep -q 'error: --transport nccl: --reproducible wants sums in rank order' order.log
check $? "--transport nccl: refused with --reproducible"
"$lockstep" bench --model gpt-nano --device cuda --attention cudnn --steps 1 >fp32.log 2>&1
[ $? = 2 ] && grep -q 'error: --attention cudnn reads bf16; leave it out or use --precision bf16' fp32.log
check $? "--attention cudnn: refused in fp32"
# shellcheck disable=SC2086  # options are words
"$lockstep" bench --model gpt-nano --heads 16 --width 64 $bf16 --attention cudnn --steps 1 >heads.log 2>&1
[ $? = 2 ] && grep -q -e 'heads of 8, 16, ... 256 elements, not 4' -e 'libcudnn' -e 'cudnn_graph.h' heads.log
check $? "--attention cudnn: refused with heads of 4 elements"
verdict
