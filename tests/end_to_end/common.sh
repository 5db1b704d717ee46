#!/bin/sh
# shellcheck disable=SC2034  # the variables are for those that source it
# What the end-to-end tests share; each sources it with its own arguments: LOCKSTEP MPIRUN.
# Makes a scratch directory, goes there, and removes it at the end.
lockstep=$1
mpirun=${2:-mpirun}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

# By hand as under ctest: more ranks than cores, perhaps as root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 OMP_NUM_THREADS=1

# check CODE TEXT: one line for each thing looked at.
check() {
  if [ "$1" = 0 ]; then
    echo "ok    $2"
  else
    failures=$((failures + 1))
    echo "FAIL  $2"
  fi
}

# must COMMAND...: what the test stands on; its output is shown only when it fails.
must() {
  "$@" >must.log 2>&1 && return
  echo "FAIL  code $?: $*"
  tail -n 20 must.log
  exit 1
}

# make_text DOCUMENTS: sentences of a small vocabulary with some sense in them, documents of 3 to 6 between blank lines.
make_text() {
  awk -v documents="$1" 'BEGIN {
    split("Ann Ben Cleo Dan Eve Finn", who); split("red blue green old new small", kind)
    split("boat house river garden letter stone", thing); split("sees paints sells finds keeps draws", does)
    for (d = 0; d < documents; ++d) {
      for (s = 0; s < 3 + d % 4; ++s) {
        k = d * 7 + s * 5
        printf "%s %s the %s %s. ", who[d % 6 + 1], does[k % 6 + 1], kind[int(k / 6) % 6 + 1], thing[(d + s) % 6 + 1]
      }
      print "\n"
    }
  }'
}

# make_corpora DOCUMENTS: corpus-gpt (characters) and corpus-bert (WordPiece, sentences).
make_corpora() {
  make_text "$1" >text.txt
  must "$lockstep" tokenizer train --kind characters --output characters text.txt
  must "$lockstep" corpus build --tokenizer characters --documents blank-line --output corpus-gpt text.txt
  must "$lockstep" tokenizer train --kind wordpiece --vocab-size 120 --output wordpiece text.txt
  must "$lockstep" corpus build --tokenizer wordpiece --documents blank-line --sentences --output corpus-bert text.txt
}

# model_options gpt|bert [WIDTH] [DROPOUT]: two layers, four heads, ten thousands of parameters; the vocabulary has padding rows.
model_options() {
  case $1 in
    gpt) echo "--model gpt-nano --corpus corpus-gpt" ;;
    bert) echo "--model bert-tiny --corpus corpus-bert --max-positions 64" ;;
  esac
  echo "--layers 2 --heads 4 --width ${2:-32} --dropout ${3:-0.1} --attention-dropout ${3:-0.1}"
  echo "--sequence-length 32 --vocab-multiple 32"
}

# losses RUN: "step loss" of each step; a step done twice counts with its last line.
losses() {
  sed -n 's/^{"event":"step","step":\([0-9]*\),"loss":\([^,]*\),.*/\1 \2/p' "$1/metrics.jsonl" |
    awk '{ loss[$1] = $2; if ($1 > last) last = $1 } END { for (s = 1; s <= last; ++s) print s, loss[s] }'
}

# worst A B STEPS FROM TO: greatest relative difference of the losses of steps FROM to TO of two runs that have STEPS steps;
# "missing" when one has not.
worst() {
  losses "$1" >a.losses
  losses "$2" >b.losses
  paste -d ' ' a.losses b.losses | awk -v steps="$3" -v from="$4" -v to="$5" '
    NF != 4 || $1 != $3 { missing = 1 }
    $1 >= from && $1 <= to { d = ($2 - $4) / $2; if (d < 0) d = -d; if (d > worst) worst = d }
    END { if (missing || NR != steps) print "missing"; else printf "%.3g\n", worst }'
}

# within X BOUND: false for "missing" and nan too.
within() { awk -v x="$1" -v bound="$2" 'BEGIN { exit !(x ~ /^[0-9.e+-]+$/ && x + 0 <= bound + 0) }'; }

hash_of() { sed -n 's/.*"weights_sha256":"\([0-9a-f]*\)".*/\1/p' "$1/DONE" 2>/dev/null; }

verdict() {
  [ "$failures" = 0 ] && echo "all as it should be"
  [ "$failures" = 0 ]
}
