// c = op(a) op(b), or c += op(a) op(b).   op(a) (M, K)  op(b) (K, N)  c (M, N); op is the identity
// or the transpose. Rows of a, b, c may be strided. Any size may be 0 (K = 0: c = 0, or unchanged
// when accumulating). On the CPU f32 goes through oneDNN: equal calls give equal bits with one
// number of threads; gemm_fixed() is for sums that must not follow threads or sizes. a and b may
// both be bf16 with an f32 c: their products are exact in f32 and summed there.
#pragma once

#include "core/ops/sum_order.hpp"
#include "core/tensor.hpp"

namespace lockstep {

enum class Transpose { no, yes };
enum class Accumulate { no, yes };

void gemm(Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b,
          Accumulate accumulate = Accumulate::no);

// The same with the sums over k in a fixed order, whatever the sizes of c, the number of threads
// and the instruction set: each element a tree of chains of fused multiply-adds. order.count() ==
// K. A single chain may go on from what c holds (Accumulate::yes), several chains overwrite c.
void gemm_fixed(Tensor& c,
                const Tensor& a,
                Transpose transpose_a,
                const Tensor& b,
                Transpose transpose_b,
                const SumOrder& order,
                Accumulate accumulate = Accumulate::no);

// c = op(a) op(b) + bias in each row.   bias (N)
void gemm_bias(Tensor& c,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               const Tensor& bias);

// c += a^T b, and sums += the sum of a's rows: a linear's gradients, a being dy.
// a (K, M)  b (K, N)  c (M, N)  sums (M)
void gemm_and_column_sums(Tensor& c, Tensor& sums, const Tensor& a, const Tensor& b);

// x = op(a) op(b) + bias and c = gelu_tanh(x); bias (N) may be undefined.   x, c (M, N)
void gemm_gelu(Tensor& c,
               Tensor& x,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               const Tensor& bias);

// c = op(a) op(b) gelu_tanh'(x), the second product elementwise.   x, c (M, N)
void gemm_gelu_gradient(Tensor& c,
                        const Tensor& a,
                        Transpose transpose_a,
                        const Tensor& b,
                        Transpose transpose_b,
                        const Tensor& x);

// Products of a size that comes again on this GPU are timed once, and the fastest algorithm is
// kept, instead of taking the library's first choice: other runs may choose, and round, otherwise.
// Off at first; nothing on the CPU.
void time_products(Device device, bool on);
// fp32 products on this GPU read TF32, 10 of the 23 bits of mantissa, and add in fp32. Off at
// first; nothing on the CPU.
void multiply_in_tf32(Device device, bool on);

// The plain triple loop, sums in double: the tests' reference.
void gemm_reference(Tensor& c,
                    const Tensor& a,
                    Transpose transpose_a,
                    const Tensor& b,
                    Transpose transpose_b,
                    Accumulate accumulate = Accumulate::no);

}  // namespace lockstep
