// Products of bf16 operands with fp32 sums: oneDNN's matmul, a primitive per rectangle of c
// (core/ops/cpu/onednn.hpp). Making one compiles code, 0.3 to 1 ms, so calls that agree in sizes
// and strides share a plan; only addresses are new in each. Where oneDNN has no bf16 for the
// instruction set in use, operands are widened: the same exact products, in fp32. Weights that are
// kept packed (core/ops/packed_weights.hpp) are read so, whole, by rows of c.
#include <array>
#include <atomic>
#include <compare>
#include <map>
#include <vector>

#include <dnnl.hpp>
#include <omp.h>

#include "core/error.hpp"
#include "core/ops/bf16.hpp"
#include "core/ops/cpu/gemm.hpp"
#include "core/ops/cpu/onednn.hpp"
#include "core/ops/cpu/packed_weights.hpp"

namespace lockstep::cpu {
namespace {

using dnnl::memory;

constexpr index_t tile = 64;           // of c: a multiple of the columns of oneDNN's register tiles
constexpr std::size_t alignment = 64;  // of scratchpads

// What calls of one plan have in common. op(x) has element (i, j) at i * row + j * column.
struct Operand {
  index_t row = 0, column = 0;

  auto operator<=>(const Operand&) const = default;
};
struct Call {
  index_t M = 0, N = 0, K = 0;
  Operand a, b, c;
  bool packed = false;  // b, as a whole
  bool adds = false;
  int team = 1;

  auto operator<=>(const Call&) const = default;
};

Operand operand_of(const Tensor& x, Transpose transpose) {
  return transpose == Transpose::yes ? Operand{1, x.row_stride()} : Operand{x.row_stride(), 1};
}

// The stride of a dimension of one element means nothing, but oneDNN takes it for a row's length.
memory::desc describe(index_t rows, index_t columns, Operand at) {
  if (at.column == 1 && rows == 1) at.row = columns;
  if (at.row == 1 && columns == 1) at.column = rows;
  return {{rows, columns}, memory::data_type::bf16, memory::dims{at.row, at.column}};
}

// One rectangle of c. Holds the addresses of the call under way.
class Product {
 public:
  // packed: b's layout when call.packed.
  Product(const Call& call, const ProductGrid::Piece& piece, const memory::desc* packed)
      : Product(call, piece, make(call, piece, packed)) {}

  std::size_t scratch_bytes() const { return scratch_bytes_; }

  void set_addresses(const Bf16* a, const void* b, float* c, std::byte* scratch) {
    // oneDNN's memory takes no const; operands are only read.
    a_.set_data_handle(const_cast<Bf16*>(a + first_a_));
    b_.set_data_handle(const_cast<Bf16*>(static_cast<const Bf16*>(b) + first_b_));
    c_.set_data_handle(c + first_c_);
    scratch_.set_data_handle(scratch);
  }

  dnnl_status_t run() const {
    const std::array<dnnl_exec_arg_t, 4> arguments{{{DNNL_ARG_SRC, a_.get()},
                                                    {DNNL_ARG_WEIGHTS, b_.get()},
                                                    {DNNL_ARG_DST, c_.get()},
                                                    {DNNL_ARG_SCRATCHPAD, scratch_.get()}}};
    return dnnl_primitive_execute(product_.get(), stream_.get(), static_cast<int>(arguments.size()),
                                  arguments.data());
  }

 private:
  using Description = dnnl::matmul::primitive_desc;

  Product(const Call& call, const ProductGrid::Piece& piece, const Description& description)
      : first_a_(piece.rows.first * call.a.row),
        first_b_(call.packed ? 0 : piece.columns.first * call.b.column),
        first_c_(piece.rows.first * call.c.row + piece.columns.first),
        scratch_bytes_((description.scratchpad_desc().get_size() + alignment - 1) / alignment *
                       alignment),
        product_(description),
        stream_(onednn_engine()),
        a_(description.src_desc(), onednn_engine(), nullptr),
        b_(description.weights_desc(), onednn_engine(), nullptr),
        c_(description.dst_desc(), onednn_engine(), nullptr),
        scratch_(description.scratchpad_desc(), onednn_engine(), nullptr) {}

  static Description make(const Call& call,
                          const ProductGrid::Piece& piece,
                          const memory::desc* packed) {
    const index_t M = piece.rows.count, N = piece.columns.count;
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (call.adds) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      attributes.set_post_ops(sum);
    }
    return matmul_description(
        describe(M, call.K, call.a), packed != nullptr ? *packed : describe(call.K, N, call.b),
        {{M, N}, memory::data_type::f32, memory::dims{call.c.row, 1}}, attributes);
  }

  index_t first_a_, first_b_, first_c_;  // elements
  std::size_t scratch_bytes_;
  dnnl::matmul product_;
  dnnl::stream stream_;
  memory a_, b_, c_, scratch_;
};

// Empty when oneDNN has no such product on this CPU.
using Plan = std::vector<Product>;

Plan make_plan(const Call& call, const ProductGrid& grid, const memory::desc* packed) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);  // a primitive lays its work out for the threads it is made under
  Plan plan;
  try {
    for (int t = 0; t < grid.team(); ++t) {
      const ProductGrid::Piece piece = grid.piece(t);
      if (piece.rows.count > 0 && piece.columns.count > 0) plan.emplace_back(call, piece, packed);
    }
  } catch (const dnnl::error& error) {
    plan.clear();
    if (error.status != dnnl_unimplemented) {
      omp_set_num_threads(threads);
      fail("oneDNN makes no bf16 product of ", call.M, " x ", call.K, " x ", call.N, ": ",
           error.what());
    }
  }
  omp_set_num_threads(threads);
  return plan;
}

// Of the calling thread. Batches whose number of rows varies make plan after plan: when there are
// many, all go.
Plan& plan_for(const Call& call, const ProductGrid& grid, const memory::desc* packed) {
  constexpr std::size_t most_plans = 256;
  thread_local std::map<Call, Plan> plans;
  const auto found = plans.find(call);
  if (found != plans.end()) return found->second;
  if (plans.size() >= most_plans) plans.clear();
  return plans.emplace(call, make_plan(call, grid, packed)).first->second;
}

}  // namespace

void gemm_bf16(Tensor& c,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               index_t K,
               bool adds) {
  constexpr index_t least_packed = 64;  // rows: fewer are cut by columns, too
  prepare_onednn();
  const auto* packed = c.rows() < least_packed ? nullptr : packed_weight(b, transpose_b);
  const ProductGrid grid = packed != nullptr ? ProductGrid::by_rows(c.rows(), c.columns(), K, tile)
                                             : ProductGrid(c.rows(), c.columns(), K, tile);
  Plan& plan = plan_for({c.rows(),
                         c.columns(),
                         K,
                         operand_of(a, transpose_a),
                         operand_of(b, transpose_b),
                         {c.row_stride(), 1},
                         packed != nullptr,
                         adds,
                         grid.team()},
                        grid, packed != nullptr ? &packed->layout : nullptr);
  if (plan.empty()) {
    const Tensor wide_a = widened(a), wide_b = widened(b);
    return cpu::gemm(c, wide_a, transpose_a, wide_b, transpose_b,
                     adds ? Accumulate::yes : Accumulate::no);
  }
  std::size_t bytes = 0;
  for (const Product& product : plan) bytes += product.scratch_bytes();
  Tensor scratch = Tensor::empty({static_cast<index_t>(bytes)}, DType::u8);
  auto* free = static_cast<std::byte*>(scratch.raw());
  const void* read_b = packed != nullptr ? packed->bytes.raw() : b.raw();
  for (Product& product : plan) {
    product.set_addresses(a.data<Bf16>(), read_b, c.data<float>(), free);
    free += product.scratch_bytes();
  }
  std::atomic<int> refused = dnnl_success;
  const auto team = static_cast<int>(plan.size());
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (int t = 0; t < team; ++t) {
    omp_set_num_threads(1);  // of this call only: the setting ends with the region
    const dnnl_status_t status = plan[static_cast<std::size_t>(t)].run();
    if (status != dnnl_success) refused = status;
  }
  require(refused == dnnl_success, "oneDNN refused a bf16 product of ", c.rows(), " x ", K, " x ",
          c.columns(), " (status ", refused.load(), ")");
}

}  // namespace lockstep::cpu
