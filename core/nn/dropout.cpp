#include "core/nn/dropout.hpp"

namespace lockstep {

void dropout_forward(Tensor& y, const Tensor& x, DropoutSite site, const Context& context) {
  for_dropout_runs(x.rows(), site, context,
                   [&](index_t first, index_t rows, const DropoutSpec& spec) {
                     Tensor to = y.range(first, rows);
                     dropout_forward(to, x.range(first, rows), spec);
                   });
}

void dropout_backward(Tensor& dx, const Tensor& dy, DropoutSite site, const Context& context) {
  for_dropout_runs(dy.rows(), site, context,
                   [&](index_t first, index_t rows, const DropoutSpec& spec) {
                     Tensor to = dx.range(first, rows);
                     dropout_backward(to, dy.range(first, rows), spec);
                   });
}

}  // namespace lockstep
