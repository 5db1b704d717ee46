#!/bin/bash
# Drills, the watchdog, two runs on one directory, and the time limit: what docs/reliability.md promises, on whole runs.
# durability_test.sh LOCKSTEP MPIRUN
# shellcheck disable=SC2046,SC2086  # model_options and layout are words
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/end_to_end/common.sh
. "$here/common.sh"
make_corpora 60

steps=12 layout='--tp 2'
# train RUN OPTIONS...: two ranks in $layout; leaves the exit code in $code, stderr in RUN.err.
train() {
  local run=$1
  shift
  "$mpirun" -n 2 "$lockstep" pretrain $(model_options gpt) --learning-rate 1e-3 --global-batch-size 8 --microbatch-size 2 \
    --hash-weights $layout --steps "$steps" --checkpoint-every 3 --output "$run" "$@" >"$run.log" 2>"$run.err"
  code=$?
}
has() { grep -q "$2" "$1"; }

train calm
check $code "the run that is left alone"

train killed --drill kill:7:1
[ $code != 0 ] && has killed.err 'drill: kill:7:1 on rank 1'
check $? "drill: rank 1 is killed at step 7 (code $code)"
train killed --drill kill:7:1
[ $code = 0 ] && [ "$(hash_of killed)" = "$(hash_of calm)" ]
check $? "drill: it happens once; the next start ends with equal bits"

train frozen --drill freeze:7:1 --watchdog-seconds 2
[ $code = 76 ] && has frozen.err 'lockstep: error: no progress for 2.0 s: rank 1 is late' &&
  has frozen.err 'rank 0: step 7, step, waits for'
check $? "watchdog: code 76, names the frozen rank and what the other waits for (code $code)"
train frozen --watchdog-seconds 60
[ $code = 0 ] && [ "$(hash_of frozen)" = "$(hash_of calm)" ]
check $? "watchdog: the next start ends with equal bits"
train slow --drill slow:5:1:3 --watchdog-seconds 10
[ $code = 0 ] && [ "$(hash_of slow)" = "$(hash_of calm)" ]
check $? "watchdog: a slow rank is no hang"

train stopped --drill nonfinite:5:1
[ $code = 1 ] && has stopped.err 'error: step 5: the loss is nan.* on rank 1 .*weight' && [ ! -e stopped/DONE ]
check $? "not finite: stop names step, rank and place"
train skipped --drill nonfinite:5:1 --on-nonfinite skip
[ $code = 0 ] && has skipped.err 'warning: step 5: .* on rank 1 ' && has skipped/metrics.jsonl '"event":"nonfinite","step":5' &&
  ! has skipped/metrics.jsonl '"event":"step","step":5,' && ! has skipped/metrics.jsonl '[:,]nan'
check $? "not finite: skip goes on without the step (code $code)"
train rewound --drill nonfinite:5:1 --on-nonfinite rewind
[ $code = 0 ] && has rewound/metrics.jsonl '"action":"rewind","back_to":3' && [ -e rewound/DONE ]
check $? "not finite: rewind goes back to the checkpoint of step 3 (code $code)"

layout='--dp 2 --reproducible'
train calm-2
train verified --verify-every 1
[ $code = 0 ] && [ "$(hash_of verified)" = "$(hash_of calm-2)" ]
check $? "verify: each microbatch computed again, and nothing changes (code $code)"
train flipped --verify-every 3 --drill bitflip:5:1
[ $code = 1 ] && has flipped.err 'error: step 6: silent data corruption: weight .* of rank 1 .* of rank 0' &&
  [ ! -e flipped/checkpoints/step-000000006 ]
check $? "verify: a flipped bit is found at the next multiple, both ranks named (code $code)"
train flipped --verify-every 3 --drill bitflip:5:1
[ $code = 0 ] && [ "$(hash_of flipped)" = "$(hash_of calm-2)" ]
check $? "verify: the next start ends with equal bits (code $code)"
layout='--tp 2'

train wide --exit-at-step 6
train wide --precision fp64
[ $code = 0 ] && within "$(worst calm wide 12 1 12)" 1e-5
check $? "a run goes on in another precision (code $code)"

steps=1000000 train limited --time-limit 12
[ $code = 75 ] && has limited/metrics.jsonl '"reason":"time-limit"'
check $? "time limit: saved, code 75 (code $code)"

"$mpirun" -n 2 "$lockstep" pretrain $(model_options gpt) --learning-rate 1e-3 --global-batch-size 8 --microbatch-size 2 --tp 2 \
  --steps 1000000 --decay-steps 12 --checkpoint-every 3 --output twice >first.log 2>first.err &
first=$!
until has twice/metrics.jsonl '"event":"checkpoint"' 2>/dev/null || ! kill -0 $first 2>/dev/null; do sleep 0.1; done
"$mpirun" -n 2 "$lockstep" pretrain $(model_options gpt) --learning-rate 1e-3 --global-batch-size 8 --microbatch-size 2 --tp 2 \
  --steps 1000000 --decay-steps 12 --checkpoint-every 3 --output twice --time-limit 15 >second.log 2>second.err
second=$?
wait $first
first=$?
[ $first = 1 ] && [ $second = 75 ] && [ "$(grep -c 'another start took this run over' first.err)" = 1 ]
check $? "two runs on one directory: the first ends with 1 and one line, the second goes on (codes $first, $second)"
verdict
