#!/bin/sh
# symbols_test.sh LIBRARY: no cuda:: function is used and not defined, and each function that a header of core/ops/cuda or
# core/cuda (memory.hpp, nccl.hpp) declares is defined.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
symbols=$(mktemp) declared=$(mktemp)
trap 'rm -f "$symbols" "$declared"' EXIT
nm -C --defined-only "$1" 2>/dev/null | sed -n 's/^[0-9a-f]* T lockstep::cuda::\([a-z_]*\)\(\[abi:cxx11\]\)\{0,1\}(.*/\1/p' | sort -u >"$symbols"
missing=0
for header in "$root"/core/ops/cuda/*.hpp "$root"/core/cuda/memory.hpp "$root"/core/cuda/nccl.hpp; do
  sed -n 's/^[a-zA-Z:_]*[ *]\{1,2\}\([a-z_]*\)(.*/\1/p' "$header" | sort -u >"$declared"
  for name in $(comm -23 "$declared" "$symbols"); do
    echo "cuda::$name is declared in ${header#"$root"/} and not defined"
    missing=1
  done
done
[ "$(wc -l <"$symbols")" -ge 30 ] || { echo "only $(wc -l <"$symbols") cuda:: functions found"; exit 1; }
exit $missing
