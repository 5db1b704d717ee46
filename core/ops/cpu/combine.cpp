#include "core/ops/cpu/combine.hpp"

namespace lockstep::cpu {
namespace {

template <Reduce reduce, typename T>
void combine_all(T* into, const T* x, index_t n) {
  for (index_t i = 0; i < n; ++i) into[i] = combined<reduce>(into[i], x[i]);
}

}  // namespace

void combine(Tensor& into, const Tensor& x, Reduce reduce) {
  with_summed_type(into.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* to = into.data<T>();
    switch (reduce) {
      case Reduce::sum:
        return combine_all<Reduce::sum>(to, x.data<T>(), into.count());
      case Reduce::max:
        return combine_all<Reduce::max>(to, x.data<T>(), into.count());
      case Reduce::min:
        return combine_all<Reduce::min>(to, x.data<T>(), into.count());
    }
  });
}

}  // namespace lockstep::cpu
