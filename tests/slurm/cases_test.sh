#!/bin/bash
# What happens to jobs, done to launch/slurm/pretrain.sbatch on a real Slurm of two nodes, with each launcher. Each case ends in a
# finished run with the bits of an undisturbed one, or in a clean cancel and then that. Exit 77, with a reason, where there is no
# test bed (LOCKSTEP_SHARED: the directory that holds testbed/slurm-up).
#   cases_test.sh LOCKSTEP [WORDS...]      only the cases that contain one of WORDS: "mpirun", "scancel x srun"; none: all
set -u
lockstep=$(readlink -f "$1")
shift
# shellcheck source=tests/slurm/common.sh
. "$(dirname "$0")/common.sh"

cases=('save signal' scancel 'kill -9 of a rank' 'frozen rank' 'all ranks frozen' preemption 'cut link')
work=$(mktemp -d) || exit 1
failures=0 skipped=0 hosts=
trap 'bed_down; rm -rf "$work"' EXIT
export LOCKSTEP_BINARY=$lockstep LOCKSTEP_STALE_SECONDS=30 OMP_NUM_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1

# bed_up loopback|hosts
bed_up() {
  local exports
  if [ "$1" = hosts ]; then
    exports=$("$bed/hosts-up" 2) || return 1
    eval "$exports"
    hosts=yes
    exports=$("$bed/slurm-up" hosts) || return 1
  else
    exports=$("$bed/slurm-up" 2) || return 1
  fi
  eval "$exports"
}
bed_down() {
  [ -n "${TESTBED_STATE:-}" ] || return 0
  "$bed/slurm-down" >/dev/null 2>&1
  [ -z "$hosts" ] || "$bed/hosts-down" >/dev/null 2>&1
  hosts=
  unset TESTBED_STATE
}
# Slurm's commands, on the login host where there are hosts.
on_login() {
  if [ -n "$hosts" ]; then
    (cd "$root" && "$bed/hosts-agent" login env LOCKSTEP_LAUNCHER="${LOCKSTEP_LAUNCHER:-}" LOCKSTEP_BINARY="$lockstep" \
      LOCKSTEP_STALE_SECONDS=30 "$@")
  else
    "$@"
  fi
}

# until_true SECONDS COMMAND...
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.2
  done
}
state() { on_login squeue -h -t all -j "$1" -o %T 2>/dev/null; }
over() { case $(state "$1") in RUNNING | PENDING | COMPLETING | REQUEUED | CONFIGURING | SUSPENDED) false ;; esac; }
not_running() { case $(state "$1") in RUNNING | COMPLETING) false ;; esac; }
last_step() { sed -n 's/^{"event":"step","step":\([0-9]*\),.*/\1/p' "$1/metrics.jsonl" 2>/dev/null | tail -n 1; }
stepped() { [ "$(last_step "$run")" -ge 20 ] 2>/dev/null && grep -q '"event":"checkpoint"' "$run/metrics.jsonl"; }
rank_ids() {
  local process
  for process in /proc/[0-9]*; do
    # A process may end while it is looked at.
    if tr '\0' '\n' 2>/dev/null <"$process/cmdline" | head -n 2 | grep -q -x "$lockstep" &&
      tr '\0' '\n' 2>/dev/null <"$process/cmdline" | grep -q -x "$run"; then
      basename "$process"
    fi
  done
}
no_ranks() { [ -z "$(rank_ids)" ]; }
hash_of() { sed -n 's/.*"weights_sha256":"\([0-9a-f]*\)".*/\1/p' "$1/DONE" 2>/dev/null; }

options=(--corpus "$work/corpus" --model gpt-nano --layers 2 --heads 4 --width 64 --sequence-length 64 --global-batch-size 16
  --microbatch-size 4 --tp 2 --pp 2 --steps 600 --checkpoint-every 20 --watchdog-seconds 10 --hash-weights --log-every 100)
submit() {
  on_login sbatch --parsable -N2 --ntasks-per-node=2 "${@:2}" -o "$run.log" "$script" --output "$run" "${options[@]}" |
    cut -d ';' -f 1
}

# disturb CASE JOB
disturb() {
  local ranks
  mapfile -t ranks < <(rank_ids)
  case $1 in
    'save signal') on_login scancel --signal=USR1 --batch "$2" ;;
    scancel) on_login scancel "$2" ;;
    'kill -9 of a rank') kill -KILL "${ranks[RANDOM % ${#ranks[@]}]}" ;;
    'frozen rank') kill -STOP "${ranks[RANDOM % ${#ranks[@]}]}" ;;
    'all ranks frozen') kill -STOP "${ranks[@]}" ;;
    preemption) on_login sbatch -p urgent -N2 --ntasks-per-node=4 -o /dev/null --wrap 'sleep 3' >/dev/null ;;
    'cut link') "$bed/hosts-fault" h1 cut ;;
  esac
}

# run_case CASE LAUNCHER: "" when all is well, else what is not.
run_case() {
  local job
  run=$work/$(echo "$1-$2" | tr ' ' '-')
  export LOCKSTEP_LAUNCHER=$2
  job=$(submit "$run")
  until_true 120 stepped || { echo "no checkpoint within 120 s"; return; }
  disturb "$1" "$job"
  if [ "$1" = 'cut link' ]; then
    until_true 60 not_running "$job"
    "$bed/hosts-fault" h1 heal
  fi
  if [ "$1" = scancel ]; then
    until_true 60 not_running "$job"
    until_true 30 no_ranks
    sleep 8
    if ! over "$job" || ! no_ranks || [ -e "$run/DONE" ]; then
      echo "not cancelled cleanly: $(state "$job")"
      return
    fi
    job=$(submit "$run")
  fi
  until_true 300 over "$job"
  [ -e "$run/DONE" ] || { echo "not done: step $(last_step "$run"), job $(state "$job"); $(tail -n 3 "$run.log" | tr '\n' '|')"; return; }
  [ "$(grep -c '"event":"start"' "$run/metrics.jsonl")" -gt 1 ] || { echo "it was not disturbed"; return; }
  [ "$(hash_of "$run")" = "$(hash_of "$work/calm")" ] || { echo "other weights than those of the undisturbed run"; return; }
}

wanted() {
  local words
  [ $# -gt 1 ] || return 0
  for words in "${@:2}"; do
    case $1 in *"$words"*) return 0 ;; esac
  done
  return 1
}

awk 'BEGIN { for (i = 0; i < 4000; ++i) print "Line " i " of " i * i % 97 " tells of " i * 7 % 13 " ships." }' >"$work/text.txt"
"$lockstep" corpus build --tokenizer bytes --documents file --output "$work/corpus" "$work/text.txt" >/dev/null || exit 1
mpirun -n 4 "$lockstep" pretrain --output "$work/calm" "${options[@]}" >"$work/calm.log" 2>&1 || { tail "$work/calm.log"; exit 1; }

for place in loopback hosts; do
  chosen=()
  for case in "${cases[@]}"; do
    if [ "$case" = 'cut link' ]; then needs=hosts; else needs=loopback; fi
    for launcher in srun mpirun; do
      if [ $needs = $place ] && wanted "$case x $launcher" "$@"; then chosen+=("$case:$launcher"); fi
    done
  done
  [ ${#chosen[@]} -gt 0 ] || continue
  if ! bed_up $place; then
    echo "skip  ${#chosen[@]} cases: the test bed of $place did not come up"
    skipped=$((skipped + ${#chosen[@]}))
    bed_down
    continue
  fi
  for pair in "${chosen[@]}"; do
    began=$SECONDS
    fault=$(run_case "${pair%:*}" "${pair#*:}")
    if [ -z "$fault" ]; then
      echo "ok    ${pair%:*} x ${pair#*:}: $((SECONDS - began)) s"
    else
      failures=$((failures + 1))
      echo "FAIL  ${pair%:*} x ${pair#*:}: $fault"
    fi
  done
  bed_down
done
[ $failures = 0 ] || exit 1
[ $skipped = 0 ] || exit 77
