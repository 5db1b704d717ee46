#!/bin/bash
# Whole runs, killed at random moments and started again until they are through: nothing acknowledged is lost, nothing invalid
# lies under a good name, and the end has the bits of a run that was left alone.
# kill_test.sh LOCKSTEP MPIRUN [KILLS]     default 8; 500 take about a quarter of an hour, 10000 some hours
# shellcheck disable=SC2046,SC2086  # model_options and layouts are words
set -u
here=$(cd "$(dirname "$0")/../end_to_end" && pwd)
# shellcheck source=tests/end_to_end/common.sh
. "$here/common.sh"
wanted=${3:-8}
export OMPI_MCA_odls_base_sigkill_timeout=0
make_corpora 60
steps=40
layouts=('--tp 2' '--pp 2' '--zero 1' '--tp 2 --pp 2' '--dp 2 --tp 2')

# start RUN MODEL RANKS LAYOUT: in the background; each rank leaves its process id.
start() {
  rm -f pid.*
  # shellcheck disable=SC2016  # $0 and $@ belong to the inner sh
  "$mpirun" -n "$3" sh -c 'echo $$ >pid.$OMPI_COMM_WORLD_RANK; exec "$0" "$@"' "$lockstep" pretrain $(model_options "$2") \
    --learning-rate 1e-3 --global-batch-size 8 --microbatch-size 2 --hash-weights --steps $steps --checkpoint-every 2 --keep 2 \
    --output "$1" $4 >"$1.log" 2>&1 &
  launcher=$!
}
# Ranks outlive a killed launcher for a moment; 12 s are too long.
all_gone() {
  local tries
  for ((tries = 0; tries < 240; ++tries)); do
    kill -0 $(cat pid.* 2>/dev/null) 2>/dev/null || return 0
    sleep 0.05
  done
  return 1
}
now() { date +%s.%N; }
acknowledged() { sed -n 's/^{"event":"checkpoint","step":\([0-9]*\),.*/\1/p' "$1/metrics.jsonl" 2>/dev/null | tail -n 1; }
started_from() { sed -n 's/^{"event":"start","step":\([0-9]*\),.*/\1/p' "$1/metrics.jsonl" 2>/dev/null | tail -n 1; }
# The first step directory that verify does not accept.
invalid_in() {
  local directory
  for directory in "$1"/checkpoints/step-*; do
    if [ -e "$directory" ] && ! "$lockstep" checkpoint verify "$directory" >verify.log 2>&1; then
      echo "$directory: $(tail -n 1 verify.log)"
      return
    fi
  done
}

# chain NUMBER: one run killed again and again until it ends by itself.
chain() {
  local model layout ranks=2 calm=calm-$1 run=killed-$1 began seconds known=0 ended='' fault=''
  model=$([ $(($1 % 2)) = 0 ] && echo gpt || echo bert)
  layout=${layouts[$1 % ${#layouts[@]}]}
  case $layout in *pp*tp* | *tp*pp* | *dp*tp*) ranks=4 ;; esac
  began=$(now)
  start "$calm" "$model" $ranks "$layout"
  wait $launcher
  check $? "$model $layout: the run that is left alone"
  seconds=$(awk -v a="$began" -v b="$(now)" 'BEGIN { print b - a }')
  for ((attempt = 0; attempt < 60; ++attempt)); do
    starts=$(grep -c '"event":"start"' "$run/metrics.jsonl" 2>/dev/null)
    start "$run" "$model" $ranks "$layout"
    if [ $kills -lt "$wanted" ] && [ $attempt -lt 50 ]; then
      sleep "$(awk -v s="$seconds" -v seed="$RANDOM" 'BEGIN { srand(seed); print s * (0.1 + 0.8 * rand()) }')"
      case $((RANDOM % 3)) in
        0) victims=$(cat pid.$((RANDOM % ranks)) 2>/dev/null) ;;
        1) victims=$(cat pid.* 2>/dev/null) ;;
        *) victims=$launcher ;;
      esac
      if [ -n "$victims" ] && kill -KILL $victims 2>/dev/null; then kills=$((kills + 1)); else ended=yes; fi
    else
      ended=yes
    fi
    wait $launcher 2>/dev/null
    code=$?
    all_gone || fault="ranks left after 12 s"
    # A start that was killed before its event says nothing.
    [ "$(grep -c '"event":"start"' "$run/metrics.jsonl" 2>/dev/null)" = "$starts" ] ||
      [ "$(started_from "$run")" -ge "$known" ] ||
      fault="went on from step $(started_from "$run"), acknowledged $known"
    known=$(acknowledged "$run")
    known=${known:-0}
    invalid=$(invalid_in "$run")
    [ -z "$invalid" ] || fault="invalid: $invalid"
    [ -z "$fault" ] || break
    if [ -n "$ended" ] && [ $code = 0 ]; then break; fi
    ended=
  done
  [ -z "$fault" ]
  check $? "$model $layout: $kills kills so far${fault:+: $fault}"
  [ -n "$(hash_of "$calm")" ] && [ "$(losses "$calm")" = "$(losses "$run")" ] && [ "$(hash_of "$calm")" = "$(hash_of "$run")" ]
  check $? "$model $layout: equal bits"
  strange=$(diff <(cd "$calm" && find . | sort) <(cd "$run" && find . | sort) | tr '\n' ' ')
  [ -z "$strange" ]
  check $? "$model $layout: the names of an undisturbed run${strange:+, but for $strange}"
  rm -rf "$calm" "$run"
}

kills=0
for ((number = 0; kills < wanted && failures == 0; ++number)); do chain $number; done
[ $kills -ge "$wanted" ]
check $? "$kills kills"
verdict
