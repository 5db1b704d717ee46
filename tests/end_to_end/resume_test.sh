#!/bin/bash
# Nothing is lost: a run that is stopped, moved to another layout, signalled or killed ends as the one that was left alone.
# resume_test.sh LOCKSTEP MPIRUN
# shellcheck disable=SC2046  # model_options are words
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/end_to_end/common.sh
. "$here/common.sh"
make_corpora 60

# The words of a run, without ranks and layout.
run_words() {
  model_options "$1"
  echo "--learning-rate 1e-3 --global-batch-size 8 --microbatch-size 2 --hash-weights"
}
# train RANKS MODEL RUN OPTIONS...
train() {
  local ranks=$1 model=$2 run=$3
  shift 3
  must "$mpirun" -n "$ranks" "$lockstep" pretrain $(run_words "$model") --output "$run" "$@"
}
now() { date +%s.%N; }
stepped() { grep -q '"event":"step"' "$1/metrics.jsonl" 2>/dev/null; }

# Stopped and continued on the same layout: equal bits.
for model in gpt bert; do
  train 2 $model $model-whole --tp 2 --steps 10
  train 2 $model $model-parts --tp 2 --steps 10 --exit-at-step 5
  [ ! -e $model-parts/DONE ]
  check $? "$model: stopped at step 5 without DONE"
  train 2 $model $model-parts --tp 2 --steps 10
  [ "$(losses $model-whole)" = "$(losses $model-parts)" ] && [ -n "$(hash_of $model-whole)" ] &&
    [ "$(hash_of $model-whole)" = "$(hash_of $model-parts)" ]
  check $? "$model: 5 + 5 steps give the bits of 10, in losses and weights"
done

# From layout to layout.
train 4 bert moved --steps 10 --exit-at-step 3 --tp 2 --pp 2
train 4 bert moved --steps 10 --exit-at-step 6 --zero 1
train 4 bert moved --steps 10 --tp 2 --pp 2
difference=$(worst bert-whole moved 10 1 10)
within "$difference" 1e-5
check $? "tp2 pp2, then dp4 with ZeRO-1, then tp2 pp2 again: losses differ by $difference"

# A finished run says so and changes nothing.
before=$(cksum <moved/metrics.jsonl)
"$mpirun" -n 2 "$lockstep" pretrain $(run_words bert) --output moved --steps 10 --tp 2 >said 2>&1
code=$?
[ $code = 0 ] && grep -q 'moved is finished' said && [ "$before" = "$(cksum <moved/metrics.jsonl)" ]
check $? "a finished run says so and ends with 0"

# start RUN: the run of the crash tests in the background. Each rank leaves its process id, then becomes lockstep.
start() {
  # shellcheck disable=SC2016  # $0 and $@ belong to the inner sh
  "$mpirun" -n 2 sh -c 'echo $$ >pid.$OMPI_COMM_WORLD_RANK; exec "$0" "$@"' "$lockstep" pretrain $(run_words gpt) \
    --output "$1" --steps 60 --checkpoint-every 4 --pp 2 >"$1.log" 2>&1 &
  launcher=$!
}
began=$(now)
start calm
wait $launcher
check $? "the run that is left alone"
seconds=$(awk -v a="$began" -v b="$(now)" 'BEGIN { print b - a }')

# A signal: saved, code 75, no step twice.
start warned
until stepped warned || ! kill -0 $launcher 2>/dev/null; do sleep 0.05; done
kill -USR1 $launcher
wait $launcher
[ $? = 75 ] && grep -q '"reason":"signal"' warned/metrics.jsonl
check $? "USR1: saved, exit code 75"
start warned
wait $launcher
[ "$(grep -c '"event":"step"' warned/metrics.jsonl)" = 60 ] && [ "$(losses calm)" = "$(losses warned)" ] &&
  [ "$(hash_of calm)" = "$(hash_of warned)" ]
check $? "USR1: the same command goes on, repeats no step, ends with equal bits"

# kill -9 of one rank, at random moments between the launch and the time the calm run took.
kills=0
for attempt in 1 2 3; do
  rm -f pid.*
  moment=$(awk -v seconds="$seconds" -v seed="$RANDOM" 'BEGIN { srand(seed); print seconds * (0.15 + 0.6 * rand()) }')
  victim=$((RANDOM % 2))
  start killed
  sleep "$moment"
  if [ -e pid.$victim ] && kill -KILL "$(cat pid.$victim)" 2>/dev/null; then
    kills=$((kills + 1))
    ! wait $launcher
    check $? "kill $attempt: rank $victim after $moment s, at step $(losses killed 2>/dev/null | tail -n 1 | cut -d ' ' -f 1)"
  else
    wait $launcher
  fi
done
[ $kills -gt 0 ]
check $? "$kills kills"
[ -e killed/DONE ] || start killed
wait $launcher
[ "$(losses calm)" = "$(losses killed)" ] && [ -n "$(hash_of calm)" ] && [ "$(hash_of calm)" = "$(hash_of killed)" ]
check $? "killed: the same command ends with equal bits"
names() { (cd "$1" && find . | sort); }
[ "$(names calm)" = "$(names killed)" ]
check $? "killed: the directory holds the names of an undisturbed run"
verdict
