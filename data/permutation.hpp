// A keyed bijection of [0, n) in O(1) memory: a Feistel network over an unbalanced pair (left,
// right) of [0, a) x [0, b), a = ceil(sqrt n), b = ceil(n / a). Values of [n, a b) walk on along
// their cycle; a b - n < a, so that is rare. Eight rounds: with three the differences of neighbours
// are visibly not uniform.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/random.hpp"

namespace lockstep {

class Permutation {
 public:
  Permutation(std::uint64_t n, std::uint64_t key) : n_(n), key_(key) {
    a_ = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(n)));
    while (a_ < n && static_cast<Wide>(a_) * a_ < n) ++a_;
    if (a_ == 0) a_ = 1;
    b_ = n == 0 ? 1 : (n - 1) / a_ + 1;
  }

  std::uint64_t size() const { return n_; }

  // index < size().
  std::uint64_t operator()(std::uint64_t index) const {
    do {
      index = once(index);
    } while (index >= n_);
    return index;
  }

 private:
  static constexpr int rounds = 8;

  std::uint64_t once(std::uint64_t index) const {
    std::uint64_t left = index % a_, right = index / a_;
    for (std::uint64_t round = 0; round < rounds; round += 2) {
      left = shifted(left, right, round, a_);
      right = shifted(right, left, round + 1, b_);
    }
    return left + a_ * right;
  }
  // value + hash(other) modulo `modulus`: undone by subtraction, hence a bijection whatever the
  // hash.
  std::uint64_t shifted(std::uint64_t value,
                        std::uint64_t other,
                        std::uint64_t round,
                        std::uint64_t modulus) const {
    const std::uint64_t hash = mix(key_ + round, other);
    const std::uint64_t shift =
        static_cast<std::uint64_t>((static_cast<Wide>(hash) * modulus) >> 64);
    return value >= modulus - shift ? value - (modulus - shift) : value + shift;
  }

  std::uint64_t n_ = 0, key_ = 0, a_ = 1, b_ = 1;
};

}  // namespace lockstep
