// d = alpha op(a) op(b) + beta c, all by columns, sums in double; then the epilogue. a and b are
// fp32 (rounded to TF32 where that is asked for) or both bf16, d is fp32. BIAS adds one number per
// row of d; BGRADB gives the sums over k of op(b), one per column of d; GELU_AUX keeps d in another
// matrix, and then d = gelu(d), by tanh; DGELU multiplies d by the slope of gelu at that matrix.
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "tests/emulation/include/cublasLt.h"
#include "tests/emulation/include/cuda_bf16.h"
#include "tests/emulation/include/cuda_runtime.h"

namespace emulation {

struct MatmulDescription {
  bool tf32 = false;
  std::map<int, std::uint64_t> attributes;

  std::uint64_t get(int name, std::uint64_t standard) const {
    const auto found = attributes.find(name);
    return found == attributes.end() ? standard : found->second;
  }
  std::uint64_t epilogue() const {
    return get(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT);
  }
  bool has_epilogue() const { return epilogue() != CUBLASLT_EPILOGUE_DEFAULT; }
  bool keeps_gelu_input() const {
    return epilogue() == CUBLASLT_EPILOGUE_GELU_AUX ||
           epilogue() == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
  }
  bool has_vector() const {
    return epilogue() == CUBLASLT_EPILOGUE_BIAS || epilogue() == CUBLASLT_EPILOGUE_BGRADB ||
           epilogue() == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
  }
  bool has_aux() const { return keeps_gelu_input() || epilogue() == CUBLASLT_EPILOGUE_DGELU; }
};

struct MatrixLayout {
  cudaDataType_t type;
  std::uint64_t rows, columns;
  std::int64_t leading_dimension;
};

namespace {

double read(const void* data, cudaDataType_t type, std::uint64_t at) {
  if (type == CUDA_R_32F) return static_cast<double>(static_cast<const float*>(data)[at]);
  return static_cast<double>(static_cast<float>(static_cast<const __nv_bfloat16*>(data)[at]));
}

void write(void* data, cudaDataType_t type, std::uint64_t at, double value) {
  const auto single = static_cast<float>(value);
  if (type == CUDA_R_32F) {
    static_cast<float*>(data)[at] = single;
  } else {
    static_cast<__nv_bfloat16*>(data)[at] = __nv_bfloat16(single);
  }
}

double rounded_to_tf32(double x) {
  auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(x));
  bits = (bits + 0xfffU + ((bits >> 13) & 1U)) & ~0x1fffU;
  return static_cast<double>(std::bit_cast<float>(bits));
}

struct Operand {
  const void* data;
  MatrixLayout layout;
  bool transposed;
  bool tf32;

  std::uint64_t rows() const { return transposed ? layout.columns : layout.rows; }
  std::uint64_t columns() const { return transposed ? layout.rows : layout.columns; }
  double at(std::uint64_t i, std::uint64_t j) const {
    if (transposed) std::swap(i, j);
    const double x =
        read(data, layout.type, i + j * static_cast<std::uint64_t>(layout.leading_dimension));
    return tf32 ? rounded_to_tf32(x) : x;
  }
};

// Of what cuBLASLt multiplies with sums in fp32: fp32 with fp32, or bf16 with bf16, into fp32.
bool has_product(const MatrixLayout& a, const MatrixLayout& b, const MatrixLayout& c) {
  return a.type == b.type && (a.type == CUDA_R_32F || a.type == CUDA_R_16BF) &&
         c.type == CUDA_R_32F;
}

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

double gelu_slope(double x) {
  const double scale = std::sqrt(2 / M_PI);
  const double tanh = std::tanh(scale * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * scale * (1 + 3 * 0.044715 * x * x);
}

bool usable(std::uint64_t pointer) {
  return pointer % 16 == 0 && on_device(reinterpret_cast<const void*>(pointer));
}

// Of what an epilogue reads or writes beside d: 16-byte addresses on the device, and rows of AUX
// that hold d's and are a multiple of 8 long.
bool has_operands(const MatmulDescription& description, const MatrixLayout& d) {
  if (description.has_vector() && !usable(description.get(CUBLASLT_MATMUL_DESC_BIAS_POINTER, 0)))
    return false;
  if (!description.has_aux()) return true;
  const std::uint64_t stride = description.get(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, 0);
  return stride % 8 == 0 && stride >= d.rows &&
         usable(description.get(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, 0));
}

void multiply(const Operand& a,
              const Operand& b,
              void* d,
              const MatrixLayout& layout,
              double alpha,
              double beta,
              const MatmulDescription& description) {
  const std::uint64_t epilogue = description.epilogue();
  const bool adds_bias = description.has_vector() && epilogue != CUBLASLT_EPILOGUE_BGRADB;
  auto* bias = reinterpret_cast<void*>(description.get(CUBLASLT_MATMUL_DESC_BIAS_POINTER, 0));
  const auto bias_type = static_cast<cudaDataType_t>(
      description.get(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, layout.type));
  auto* aux =
      reinterpret_cast<void*>(description.get(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, 0));
  const std::uint64_t aux_stride = description.get(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, 0);
  for (std::uint64_t j = 0; j < layout.columns; ++j) {
    double column_sum = 0;
    for (std::uint64_t k = 0; k < b.rows(); ++k) column_sum += b.at(k, j);
    if (epilogue == CUBLASLT_EPILOGUE_BGRADB) write(bias, bias_type, j, column_sum);
    for (std::uint64_t i = 0; i < layout.rows; ++i) {
      const std::uint64_t at = i + j * static_cast<std::uint64_t>(layout.leading_dimension);
      double sum = 0;
      for (std::uint64_t k = 0; k < b.rows(); ++k) sum += a.at(i, k) * b.at(k, j);
      sum = alpha * sum + (beta == 0 ? 0 : beta * read(d, layout.type, at));
      if (adds_bias) sum += read(bias, bias_type, i);
      if (description.keeps_gelu_input()) {
        write(aux, layout.type, i + j * aux_stride, sum);
        sum = gelu(sum);
      } else if (epilogue == CUBLASLT_EPILOGUE_DGELU) {
        sum *= gelu_slope(read(aux, layout.type, i + j * aux_stride));
      }
      write(d, layout.type, at, sum);
    }
  }
}

}  // namespace

MatmulLibrary& matmul_library() {
  static MatmulLibrary library;
  return library;
}

}  // namespace emulation

std::size_t cublasLtGetVersion() { return 130100; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description,
                                        cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if ((!tf32 && compute != CUBLAS_COMPUTE_32F) || scale != CUDA_R_32F)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  *description = new emulation::MatmulDescription{.tf32 = tf32, .attributes = {}};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t name,
                                              const void* value,
                                              std::size_t bytes) {
  std::uint64_t bits = 0;
  if (bytes > sizeof bits) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&bits, value, bytes);
  description->attributes[name] = bits;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout,
                                          cudaDataType_t type,
                                          std::uint64_t rows,
                                          std::uint64_t columns,
                                          std::int64_t leading_dimension) {
  if (leading_dimension < static_cast<std::int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = new emulation::MatrixLayout{type, rows, columns, leading_dimension};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t,
                                                    const void*,
                                                    std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

// Two algorithms that do the same, so that a choice is made.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t,
                                              cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t,
                                              int most,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  ++emulation::matmul_library().asked;
  *found = 0;
  if (description->has_epilogue() && !emulation::matmul_library().has_epilogues)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  *found = most < 2 ? most : 2;
  for (int i = 0; i < *found; ++i) {
    results[i] = {};
    results[i].algo.data[0] = static_cast<std::uint64_t>(i);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t,
                              cublasLtMatmulDesc_t description,
                              const void* alpha,
                              const void* a,
                              cublasLtMatrixLayout_t a_layout,
                              const void* b,
                              cublasLtMatrixLayout_t b_layout,
                              const void* beta,
                              const void*,
                              cublasLtMatrixLayout_t,
                              void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm,
                              void*,
                              std::size_t,
                              cudaStream_t stream) {
  using namespace emulation;
  const Operand left{a, *a_layout,
                     description->get(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N) == CUBLAS_OP_T,
                     description->tf32};
  const Operand right{b, *b_layout,
                      description->get(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N) == CUBLAS_OP_T,
                      description->tf32};
  if (!has_product(*a_layout, *b_layout, *d_layout)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (left.rows() != d_layout->rows || right.columns() != d_layout->columns ||
      left.columns() != right.rows()) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!has_operands(*description, *d_layout)) return CUBLAS_STATUS_INVALID_VALUE;
  const std::uint64_t number = algorithm->data[0];
  ++matmul_library().started[number];
  enqueue(stream, [=, layout = *d_layout, described = *description,
                   by = static_cast<double>(*static_cast<const float*>(alpha)),
                   keep = static_cast<double>(*static_cast<const float*>(beta))] {
    multiply(left, right, d, layout, by, keep, described);
    spend(number == 0 ? 2 : 1);
  });
  return CUBLAS_STATUS_SUCCESS;
}
