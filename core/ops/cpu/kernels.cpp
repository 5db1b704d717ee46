#include "core/ops/cpu/kernels.hpp"

#include <cpuid.h>
#include <cstdlib>
#include <string>
#include <string_view>

#include <dnnl.h>

#include "core/error.hpp"
#include "core/ops/cpu_features.hpp"

namespace lockstep {
namespace cpu {
namespace {

constexpr const char* names[] = {"scalar", "avx2", "avx512"};

InstructionSet named(std::string_view name) {
  for (int i = 0; i < 3; ++i) {
    if (name == names[i]) return static_cast<InstructionSet>(i);
  }
  require(false, "LOCKSTEP_CPU=", name,
          " is not an instruction set; use scalar, avx2 or avx512, or unset it");
  return InstructionSet::scalar;
}

// oneDNN reads the limit once, at its first use, so this comes before any product. Its answer is
// not asked: a program that used oneDNN earlier keeps that choice, and results stay right.
void limit_onednn(InstructionSet set) {
  if (set == InstructionSet::scalar) dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41);
  if (set == InstructionSet::avx2) dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
}

InstructionSet choose() {
  const InstructionSet widest = widest_instruction_set();
  const char* asked = std::getenv("LOCKSTEP_CPU");
  if (asked == nullptr || *asked == '\0') return widest;
  const InstructionSet set = named(asked);
  require(set <= widest, "LOCKSTEP_CPU=", asked, " is more than this CPU has; it has ",
          names[static_cast<int>(widest)], ": use that or unset it");
  limit_onednn(set);
  return set;
}

}  // namespace

InstructionSet widest_instruction_set() {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) return InstructionSet::avx512;
  return avx2 ? InstructionSet::avx2 : InstructionSet::scalar;
}

// Leaf 7: AVX512_BF16 is bit 5 of EAX in subleaf 1, AMX_BF16 bit 22 of EDX in subleaf 0. oneDNN
// itself asks the system for leave to use tiles.
bool has_avx512_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return widest_instruction_set() == InstructionSet::avx512 &&
         __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && a >= 1 &&
         __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && ((a >> 5) & 1) != 0;
}

bool has_bf16_products() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return has_avx512_bf16() ||
         (widest_instruction_set() == InstructionSet::avx512 &&
          __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && ((d >> 22) & 1) != 0);
}

InstructionSet instruction_set() {
  static const InstructionSet set = choose();
  return set;
}

template <>
const Kernels<float>& kernels<float>(InstructionSet set) {
  if (set == InstructionSet::avx512) return avx512::kernels_f32();
  return set == InstructionSet::avx2 ? avx2::kernels_f32() : scalar::kernels_f32();
}

template <>
const Kernels<double>& kernels<double>(InstructionSet set) {
  if (set == InstructionSet::avx512) return avx512::kernels_f64();
  return set == InstructionSet::avx2 ? avx2::kernels_f64() : scalar::kernels_f64();
}

template <>
const Kernels<float>& kernels<float>() {
  return kernels<float>(instruction_set());
}

template <>
const Kernels<double>& kernels<double>() {
  return kernels<double>(instruction_set());
}

}  // namespace cpu

std::string cpu_features_in_use() { return cpu::names[static_cast<int>(cpu::instruction_set())]; }

bool bf16_products() {
  return cpu::instruction_set() == cpu::InstructionSet::avx512 && cpu::has_bf16_products();
}

}  // namespace lockstep
