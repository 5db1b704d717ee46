#!/bin/bash
# launch/slurm/pretrain.sbatch on a real Slurm of two nodes: warned by USR1 it saves, queues itself again and finishes; cancelled it
# stays cancelled; a run that cannot go on is given up. Exit 77, with a reason, where there is no test bed.
# slurm_test.sh LOCKSTEP
set -u
lockstep=$(readlink -f "$1")
# shellcheck source=tests/slurm/common.sh
. "$(dirname "$0")/../slurm/common.sh"

work=$(mktemp -d) || exit 1
exports=$("$bed/slurm-up" 2) || skip "slurm-up ended with code $?"
eval "$exports"
# shellcheck disable=SC2329  # called by the trap
down() {
  "$bed/slurm-down" >/dev/null 2>&1
  rm -rf "$work"
}
trap down EXIT

failures=0
check() {
  if [ "$1" = 0 ]; then
    echo "ok    $2"
  else
    failures=$((failures + 1))
    echo "FAIL  $2"
    grep -v '^ *[0-9]* ' "$work"/*.log | tail -n 60
    grep -v '"event":"\(step\|traffic\)"' "$work"/*/metrics.jsonl
  fi
}
# until_true SECONDS COMMAND...
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.5
  done
}
state() { squeue -h -t all -j "$1" -o %T 2>/dev/null; }
over() { case $(state "$1") in RUNNING | PENDING | COMPLETING | REQUEUED | CONFIGURING) false ;; esac; }
stepped() { grep -q '"event":"step"' "$1/metrics.jsonl" 2>/dev/null; }
# submit RUN STEPS OPTIONS...
submit() {
  local run=$1 steps=$2
  shift 2
  sbatch --parsable -N2 --ntasks-per-node=2 -o "$work/$(basename "$run").log" "$script" --output "$run" --corpus "$work/corpus" \
    --model gpt-nano --layers 2 --width 64 --sequence-length 64 --global-batch-size 16 --microbatch-size 4 \
    --tp 2 --pp 2 --steps "$steps" --checkpoint-every 50 --hash-weights "$@" | cut -d ';' -f 1
}

awk 'BEGIN { for (i = 0; i < 4000; ++i) print "Line " i " of " i * i % 97 " tells of " i * 7 % 13 " ships." }' >"$work/text.txt"
"$lockstep" corpus build --tokenizer bytes --documents file --output "$work/corpus" "$work/text.txt" || exit 1
export LOCKSTEP_BINARY=$lockstep LOCKSTEP_STALE_SECONDS=60 OMP_NUM_THREADS=1

for launcher in srun mpirun; do
  export LOCKSTEP_LAUNCHER=$launcher
  run=$work/$launcher
  job=$(submit "$run" 600)
  until_true 60 stepped "$run"
  scancel --signal=USR1 --batch "$job" || echo "scancel ended with code $?"
  until_true 240 over "$job"
  [ -e "$run/DONE" ]
  check $? "$launcher: warned, saved, queued again and done"
  [ "$(grep -c '"event":"start"' "$run/metrics.jsonl")" = 2 ] && grep -q '"reason":"signal"' "$run/metrics.jsonl"
  check $? "$launcher: two starts, the first ended by the signal"
  [ ! -e "$run.starts" ]
  check $? "$launcher: the guard's file is gone"
done

export LOCKSTEP_LAUNCHER=srun
run=$work/cancelled
job=$(submit "$run" 1000000)
until_true 60 stepped "$run"
scancel "$job"
until_true 30 over "$job"
sleep 8
[ "$(state "$job")" != PENDING ] && over "$job" && [ ! -e "$run/DONE" ]
check $? "cancelled: stays cancelled"

job=$(submit "$work/refused" 10 --heads 7)
until_true 60 over "$job"
grep -q 'not queued again' "$work/refused.log"
check $? "refused: not queued again"

[ $failures = 0 ]
