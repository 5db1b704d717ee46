#!/bin/bash
# shellcheck disable=SC2034  # the variables are for those that source it
# What the tests on a Slurm of one's own share; sourced, with $0 two folders below the root. Sets root, script and bed, the test bed's
# folder; ends the test with 77 and the reason where there is none.
root=$(cd "$(dirname "$0")/../.." && pwd)
script=$root/launch/slurm/pretrain.sbatch
bed=
for place in "${LOCKSTEP_SHARED:-}" "$root/../shared"; do
  if [ -z "$bed" ] && [ -n "$place" ] && [ -x "$place/testbed/slurm-up" ]; then bed=$place/testbed; fi
done
skip() {
  echo "skipped: $*"
  exit 77
}
[ -n "$bed" ] || skip "no test bed: set LOCKSTEP_SHARED to the directory that holds testbed/slurm-up"
command -v slurmctld >/dev/null || skip "Slurm is not installed"
[ "$(id -u)" = 0 ] || skip "a Slurm of one's own needs root"
