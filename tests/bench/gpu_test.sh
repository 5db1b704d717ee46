#!/bin/bash
# What tests/bench/gpu prints, on nano models: a row of figures for each, smaller microbatches where memory does not suffice.
# gpu_test.sh LOCKSTEP GPU_OPS_BENCH cpu|cuda
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# As lockstep on a GPU that holds microbatches of one sequence, and not bert-nano.
cat >"$work/small" <<SCRIPT
#!/bin/bash
case "\$*" in
  *bert-nano*|*'--microbatch-size 4'*|*'--microbatch-size 2'*)
    echo 'lockstep: error: --device cuda: cuda:0 has 1.00 GB free of 2, and rank 0 will need 3.00 GB: parameters 3.00; use less' >&2
    exit 2 ;;
esac
exec "$1" "\$@"
SCRIPT
chmod +x "$work/small"
export OMP_NUM_THREADS=1
bad=0
expect() {
  grep -q -E "$2" "$work/out" || { echo "FAIL  $1: no line like $2"; bad=1; }
}
number='[0-9]+(\.[0-9]+)?'

"$here/gpu" --lockstep "$1" --ops "$2" --python no-such-python --steps 1 --tiny "$3" >"$work/out" 2>&1 || { echo "FAIL  code $?"; bad=1; }
graphs=-
[ "$3" = cpu ] || graphs="$number %"
for model in gpt-nano bert-nano; do
  expect "$model" "^\| $model \| 4 x 32 \| 256 \| $number ms \| $number \| $number % \| $graphs \| 0 % \| - \| - \| (-|$number) \|\$"
done
expect 'without torch' '^PyTorch: no torch in no-such-python'
expect 'the ceilings' "^Ops, B 2 x T 16: shares of a product of 32 x 32 \($number TFLOP/s\) and of a copy \($number GB/s\)\$"
for op in 'qkv forward' 'head, a chunk weight' 'attention backward' 'layer norm input' 'embedding backward' 'cross-entropy forward' adamw; do
  expect "$op" "^\| $op \| $number ms \| $number (TFLOP|GB)/s \| $number % \|\$"
done

"$here/gpu" --lockstep "$work/small" --ops no-such-ops --python no-such-python --steps 1 --tiny cpu >"$work/out" 2>&1 || bad=1
expect 'a smaller microbatch' '^\| gpt-nano \| 1 x 32 \| 256 \| '
expect 'memory that does not suffice' '^\| bert-nano \| - \| 256 \| memory does not suffice \| '
"$here/gpu" --no-such-option x >/dev/null 2>&1
[ $? = 2 ] || { echo 'FAIL  an unknown option is not refused'; bad=1; }
[ $bad = 0 ] || cat "$work/out"
exit $bad
