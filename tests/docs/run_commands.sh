#!/bin/sh
# Runs what README.md and docs/*.md show in ```sh blocks, line by line, page after page in the order below, in one scratch directory that
# looks like a built checkout. ```console blocks are not run (a cluster, a new machine): the files of ours they start must be there.
# run_commands.sh SOURCES BINARIES
set -u
sources=$1 binaries=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 OMP_NUM_THREADS=1
export PATH="$binaries/bin:$PATH"
mkdir build && ln -s "$binaries" build/cpu
for name in README.md CONTRIBUTING.md LICENSE docs tests; do ln -s "$sources/$name" . || exit 1; done

# blocks KIND PAGE: the commands of the page's ```KIND blocks; a line that ends in a backslash goes on.
blocks() {
  awk -v kind="$1" '
    /^ *```/ { on = on ? 0 : $1 == "```" kind; next }
    on && NF { if (sub(/\\$/, "")) { held = held $0; next } print held $0; held = "" }' "$sources/$2"
}

pages="README.md docs/corpus.md docs/training.md docs/parallelism.md docs/reproducibility.md docs/checkpoints.md docs/reliability.md"
pages="$pages docs/performance.md docs/verification.md docs/gpu.md docs/slurm.md CONTRIBUTING.md"
failures=0 ran=0
for page in $pages; do
  blocks sh "$page" >commands
  while IFS= read -r command <&3; do
    if sh -c "$command" >output 2>&1 </dev/null; then
      ran=$((ran + 1))
    else
      failures=$((failures + 1))
      echo "FAIL $page: $command"
      tail -n 15 output
    fi
  done 3<commands
  for program in $(blocks console "$page" | grep -o -E '(^| )(\./)?(launch|tests|\.ci)/[a-z_/.]+' | sort -u); do
    [ -x "$sources/$program" ] || {
      failures=$((failures + 1))
      echo "FAIL $page: $program is not there, or cannot be executed"
    }
  done
done
# A page that is not in the list would never be looked at. cli.md has a test of its own and no commands.
for page in "$sources"/docs/*.md; do
  case " $pages docs/cli.md " in
    *" docs/${page##*/} "*) ;;
    *)
      failures=$((failures + 1))
      echo "FAIL ${page##*/} is not in the list of pages"
      ;;
  esac
done
echo "$ran commands ran, $failures failed"
[ "$failures" = 0 ] && [ "$ran" -gt 20 ]
