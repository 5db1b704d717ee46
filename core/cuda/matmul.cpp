#include "core/cuda/matmul.hpp"

#include <limits>
#include <vector>

#include "core/cuda/check.hpp"
#include "core/cuda/runtime.hpp"
#include "core/error.hpp"

namespace lockstep::cuda {
namespace {

constexpr int most_candidates = 8;
constexpr int timing_rounds = 3;  // the first one warms up

cudaDataType_t type_of(DType dtype) {
  assert(dtype == DType::f32 || dtype == DType::bf16);
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

// A descriptor of cuBLASLt, freed with its owner.
template <typename Handle, cublasStatus_t (*destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle_ != nullptr) (void)destroy(handle_);
  }
  Handle* out() { return &handle_; }
  Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};
using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

// The largest power of two up to 256 that divides the address: what a kernel may assume.
std::uint32_t alignment_of(const Tensor& x) {
  const auto address = reinterpret_cast<std::uintptr_t>(x.raw()) | 256;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

cublasLtEpilogue_t epilogue_of(const Matmul& product) {
  switch (product.epilogue) {
    case Epilogue::none:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::add_vector:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::sum_right:
      return CUBLASLT_EPILOGUE_BGRADB;
    case Epilogue::gelu:
      return product.vector.defined() ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS
                                      : CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::gelu_gradient:
      return CUBLASLT_EPILOGUE_DGELU;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

void set(Operation& operation, cublasLtMatmulDescAttributes_t name, const auto& value) {
  check(cublasLtMatmulDescSetAttribute(operation.get(), name, &value, sizeof value));
}

void set(Preference& preference, cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), name, &value, sizeof value));
}

// Time of what the stream does.
class Stopwatch {
 public:
  explicit Stopwatch(cudaStream_t stream) : stream_(stream) {
    check(cudaEventCreate(&begin_));
    check(cudaEventCreate(&end_));
  }
  ~Stopwatch() {
    (void)cudaEventDestroy(begin_);
    (void)cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  template <typename F>
  float milliseconds(const F& work) const {
    check(cudaEventRecord(begin_, stream_));
    work();
    check(cudaEventRecord(end_, stream_));
    check(cudaEventSynchronize(end_));
    float time = 0;
    check(cudaEventElapsedTime(&time, begin_, end_));
    return time;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

class Call {
 public:
  explicit Call(const Matmul& product)
      : product_(product), runtime_(Runtime::of(product.out.device())) {
    const cublasComputeType_t compute =
        in_tf32() ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    check(cublasLtMatmulDescCreate(operation_.out(), compute, CUDA_R_32F));
    const cublasOperation_t left = product.left_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t right = product.right_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    set(operation_, CUBLASLT_MATMUL_DESC_TRANSA, left);
    set(operation_, CUBLASLT_MATMUL_DESC_TRANSB, right);
    set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(product));
    if (product.vector.defined()) {
      const void* vector = product.vector.raw();
      const cudaDataType_t type = type_of(product.vector.dtype());
      set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector);
      set(operation_, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type);
    }
    if (product.beside.defined()) {  // of out's type, unless told otherwise
      const void* beside = product.beside.raw();
      const std::int64_t stride = product.beside.row_stride();
      set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, beside);
      set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, stride);
    }
    describe(left_, product.left);
    describe(right_, product.right);
    describe(out_, product.out);
  }

  // A shape that comes once is not worth the time, and while ops are noted there is none.
  bool run() {
    MatmulPlans& plans = runtime_.matmuls();
    const MatmulPlans::Key key = this->key();
    MatmulPlans::Plan* plan = plans.find(key);
    if (plan == nullptr) {
      plan = &plans.keep(key, first_choice());
    } else if (plans.timing() && plan->possible && !plan->timed && !runtime_.capture().active()) {
      plan->algorithm = fastest(candidates());
      plan->timed = true;
    }
    if (!plan->possible) return false;
    check(run_with(plan->algorithm, product_.out.raw()));
    return true;
  }

 private:
  static void describe(Layout& layout, const Tensor& x) {
    check(cublasLtMatrixLayoutCreate(layout.out(), type_of(x.dtype()),
                                     static_cast<std::uint64_t>(x.columns()),
                                     static_cast<std::uint64_t>(x.rows()), x.row_stride()));
  }

  bool in_tf32() const { return runtime_.matmuls().tf32() && product_.left.dtype() == DType::f32; }

  MatmulPlans::Key key() const {
    const Matmul& p = product_;
    const auto type = [](const Tensor& x) { return static_cast<std::int64_t>(x.dtype()); };
    const auto alignment = [](const Tensor& x) { return x.defined() ? alignment_of(x) : 0; };
    return {type(p.out),
            type(p.left),
            type(p.right),
            in_tf32() ? 1 : 0,
            static_cast<std::int64_t>(p.epilogue),
            p.left_transposed ? 1 : 0,
            p.right_transposed ? 1 : 0,
            p.accumulate ? 1 : 0,
            p.out.rows(),
            p.out.columns(),
            p.left_transposed ? p.left.columns() : p.left.rows(),
            p.out.row_stride(),
            p.left.row_stride(),
            p.right.row_stride(),
            alignment_of(p.out),
            alignment_of(p.left),
            alignment_of(p.right),
            alignment(p.vector),
            alignment(p.beside),
            p.beside.defined() ? p.beside.row_stride() : 0};
  }

  cublasStatus_t run_with(const cublasLtMatmulAlgo_t& algorithm, void* out) const {
    const float one = 1, keep = product_.accumulate ? 1.0f : 0.0f;
    return cublasLtMatmul(runtime_.cublas(), operation_.get(), &one, product_.left.raw(),
                          left_.get(), product_.right.raw(), right_.get(), &keep, out, out_.get(),
                          out, out_.get(), &algorithm, runtime_.workspace(),
                          Runtime::workspace_bytes, runtime_.stream());
  }

  // No split of K that adds through atomics: the same shape gives the same bits in every run.
  std::vector<cublasLtMatmulHeuristicResult_t> candidates() const {
    Preference preference;
    check(cublasLtMatmulPreferenceCreate(preference.out()));
    const std::size_t workspace = Runtime::workspace_bytes;
    const std::uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(product_.left));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(product_.right));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(product_.out));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(product_.out));
    std::vector<cublasLtMatmulHeuristicResult_t> results(most_candidates);
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        runtime_.cublas(), operation_.get(), left_.get(), right_.get(), out_.get(), out_.get(),
        preference.get(), most_candidates, results.data(), &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
    check(status);
    results.resize(static_cast<std::size_t>(found));
    std::erase_if(results,
                  [](const auto& result) { return result.state != CUBLAS_STATUS_SUCCESS; });
    return results;
  }

  MatmulPlans::Plan first_choice() const {
    const auto results = candidates();
    if (results.empty() && product_.epilogue != Epilogue::none) return {};
    if (results.empty()) {
      fail("cuBLASLt has no algorithm for a product of ", product_.out.shape().to_string(), " on ",
           to_string(product_.out.device()));
    }
    return {.possible = true, .timed = results.size() == 1, .algorithm = results.front().algo};
  }

  // An accumulating product must run once, so it is timed into a scratch result. What an epilogue
  // writes is written again.
  cublasLtMatmulAlgo_t fastest(
      const std::vector<cublasLtMatmulHeuristicResult_t>& candidates) const {
    const Tensor& out = product_.out;
    Tensor scratch = product_.out;
    if (product_.accumulate)
      scratch = Tensor::zeros({out.rows(), out.row_stride()}, out.dtype(), out.device());
    const Stopwatch watch(runtime_.stream());
    cublasLtMatmulAlgo_t best = candidates.front().algo;
    float best_time = std::numeric_limits<float>::max();
    for (const auto& candidate : candidates) {
      for (int round = 0; round < timing_rounds; ++round) {
        cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
        const float time =
            watch.milliseconds([&] { status = run_with(candidate.algo, scratch.raw()); });
        if (status != CUBLAS_STATUS_SUCCESS || round == 0 || time >= best_time) continue;
        best = candidate.algo;
        best_time = time;
      }
    }
    return best;
  }

  const Matmul& product_;
  Runtime& runtime_;
  Operation operation_;
  Layout left_, right_, out_;
};

}  // namespace

bool matmul(const Matmul& product) { return Call(product).run(); }

}  // namespace lockstep::cuda
