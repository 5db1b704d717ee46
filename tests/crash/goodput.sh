#!/bin/bash
# How much of the time is work when faults come at random: a rank killed, all killed, mpirun killed, a rank frozen, all asked to save
# and end; and a disk that is full or broken from some call of one start in three on. Prints the share measured, the steps done twice,
# and what Young and Daly's formula says for the stall, the save, the noticing and the restart met.
# goodput.sh LOCKSTEP MPIRUN [SECONDS [MTBF]]      default 1200 seconds, a fault every 60 on average
# shellcheck disable=SC2046,SC2086,SC2154  # model_options are words; lockstep and mpirun come from common.sh
set -u
here=$(cd "$(dirname "$0")/../end_to_end" && pwd)
# shellcheck source=tests/end_to_end/common.sh
. "$here/common.sh"
seconds=${3:-1200} mtbf=${4:-60}
export OMPI_MCA_odls_base_sigkill_timeout=0
make_corpora 60
shim=$(dirname "$lockstep")/../tests/libfault_shim.so
[ -e "$shim" ] || { echo "goodput.sh: $shim is not there: build all of the preset" >&2; exit 1; }

# break_disk RUN: words for mpirun that make the calls of each rank on the run's files fail, one or all from there on.
break_disk() {
  local errors=(28 5 122) word
  for word in "LD_PRELOAD=$shim" "FAULT_ROOT=$PWD/$1" "FAULT_AT=$((RANDOM % 300 + 1))" "FAULT_ACTION=${errors[RANDOM % 3]}" \
    "FAULT_LASTING=$((RANDOM % 2))"; do
    echo "-x $word"
  done
}

# start RUN STEPS [WORDS FOR MPIRUN]: four ranks in the background; each leaves its process id.
start() {
  rm -f pid.*
  # shellcheck disable=SC2016  # $0 and $@ belong to the inner sh
  "$mpirun" -n 4 ${3:-} sh -c 'echo $$ >pid.$OMPI_COMM_WORLD_RANK; exec "$0" "$@"' "$lockstep" pretrain $(model_options gpt 128) \
    --learning-rate 1e-3 --global-batch-size 16 --microbatch-size 4 --decay constant --steps "$2" --log-every 1000 \
    --checkpoint-every "$every" --watchdog-seconds 5 --tp 2 --pp 2 --output "$1" >>"$1.log" 2>&1 &
  launcher=$!
}
now() { date +%s.%N; }
# field EVENT NAME RUN: that number of each such event.
field() { sed -n "s/^{\"event\":\"$1\",.*\"$2\":\([0-9.e+-]*\).*/\1/p" "$3/metrics.jsonl"; }
mean() { awk '{ s += $1 } END { print (NR ? s / NR : 0) }'; }
calculate() { awk "BEGIN { printf \"%.15g\", ($*) }"; }  # as exact as the seconds of now()

every=10
start calm 60
wait $launcher
step_seconds=$(field step seconds calm | tail -n 40 | mean)
stall=$(field checkpoint blocked_seconds calm | mean)
save=$(field checkpoint seconds calm | mean)
# Young: a save every sqrt(2 stall MTBF) seconds costs least; not more often than the save itself takes.
every=$(calculate "int(sqrt(2 * ($stall + 0.001) * $mtbf) / $step_seconds) + 1")
echo "calm: $step_seconds s a step, $stall s blocked a save of $save s; saving every $every steps"

began=$(now) faults=0 broken=0 restarts=0 noticing=0
end=$((SECONDS + seconds))
while [ $SECONDS -lt $end ]; do
  before=$(grep -c '"event":"step"' soak/metrics.jsonl 2>/dev/null)
  launched=$(now) disk=''
  [ $((RANDOM % 3)) != 0 ] || { disk=$(break_disk soak) broken=$((broken + 1)); }
  start soak 100000000 "$disk"
  until [ "$(grep -c '"event":"step"' soak/metrics.jsonl 2>/dev/null)" -gt "${before:-0}" ] 2>/dev/null; do
    kill -0 $launcher 2>/dev/null || break
    sleep 0.1
  done
  restarts=$(calculate "$restarts + $(now) - $launched")
  wait_seconds=$(awk -v m="$mtbf" -v seed="$RANDOM" 'BEGIN { srand(seed); print -m * log(1 - rand()) }')
  left=$((end - SECONDS))
  until=$(calculate "$(now) + ($wait_seconds < $left ? $wait_seconds : ($left > 0 ? $left : 0))")
  while kill -0 $launcher 2>/dev/null && [ "$(calculate "$(now) < $until")" = 1 ]; do sleep 0.2; done
  struck=$(now)
  if kill -0 $launcher 2>/dev/null; then
    case $((RANDOM % 5)) in
      0) kill -KILL "$(cat pid.$((RANDOM % 4)))" ;;
      1) kill -KILL $(cat pid.*) ;;
      2) kill -KILL $launcher ;;
      3) kill -USR1 $(cat pid.*) ;;
      *) kill -STOP "$(cat pid.$((RANDOM % 4)))" ;;
    esac 2>/dev/null
  elif [ -z "$disk" ]; then
    echo "goodput.sh: the run ended by itself:" >&2
    tail -n 5 soak.log >&2
    exit 1
  fi
  wait $launcher 2>/dev/null
  noticing=$(calculate "$noticing + $(now) - $struck")
  faults=$((faults + 1))
done
elapsed=$(calculate "$(now) - $began")
all=$(field step step soak | wc -l)
useful=$(field step step soak | sort -n -u | wc -l)
# Seconds of the steps that counted: of one done twice, the second time. What else the machine does weighs on all alike.
worked=$(paste -d ' ' <(field step step soak) <(field step seconds soak) | awk '{ s[$1] = $2 } END { for (k in s) t += s[k]; print t }')
step_seconds=$(calculate "$worked / $useful")
restart=$(calculate "$restarts / $faults") notice=$(calculate "$noticing / $faults")
met=$(calculate "$elapsed / $faults")
interval=$(calculate "$every * $step_seconds")
echo "soak: $faults faults in $elapsed s, one each $met s, and $broken starts on a disk that broke; noticed after $notice s, restart to the first step $restart s"
echo "lost work: $((all - useful)) of $all steps done twice, $step_seconds s each; saved every $interval s"
echo "goodput: $(calculate "$worked / $elapsed")"
# A fault costs half an interval and the save that was under way, which was not yet one.
echo "predicted: $(calculate "1 - $stall / $interval - ($interval / 2 + $save + $notice + $restart) / $met")"
