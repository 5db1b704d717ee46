#include "tests/emulation/cudnn_operations.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/emulation/include/cuda_bf16.h"

namespace emulation {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

double rounded(cudnnDataType_t type, double value) {
  switch (type) {
    case CUDNN_DATA_FLOAT:
      return static_cast<double>(static_cast<float>(value));
    case CUDNN_DATA_BFLOAT16:
      return static_cast<double>(static_cast<float>(__nv_bfloat16(static_cast<float>(value))));
    default:
      return value;
  }
}

double read(const void* data, cudnnDataType_t type, std::int64_t at) {
  if (type == CUDNN_DATA_INT32) return static_cast<const std::int32_t*>(data)[at];
  if (type == CUDNN_DATA_FLOAT) return static_cast<double>(static_cast<const float*>(data)[at]);
  return static_cast<double>(static_cast<float>(static_cast<const __nv_bfloat16*>(data)[at]));
}

void write(void* data, cudnnDataType_t type, std::int64_t at, double value) {
  if (type == CUDNN_DATA_FLOAT) {
    static_cast<float*>(data)[at] = static_cast<float>(value);
  } else {
    static_cast<__nv_bfloat16*>(data)[at] = __nv_bfloat16(static_cast<float>(value));
  }
}

template <typename F>
void each_index(const Four& sizes, const F& f) {
  for (std::int64_t a = 0; a < sizes[0]; ++a)
    for (std::int64_t b = 0; b < sizes[1]; ++b)
      for (std::int64_t c = 0; c < sizes[2]; ++c)
        for (std::int64_t d = 0; d < sizes[3]; ++d) f(Four{a, b, c, d});
}

// Where an index lies; sizes of one are read for every index.
std::int64_t offset(const GraphTensor& x, const Four& index) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < 4; ++i) sum += x.sizes[i] == 1 ? 0 : index[i] * x.strides[i];
  return sum;
}

class Execution {
 public:
  Execution(const std::map<std::int64_t, void*>& pointers,
            const std::map<std::int64_t, double>& numbers)
      : pointers_(pointers), numbers_(numbers) {}

  void run(const GraphOperation& op) {
    std::vector<double>& y = values_[op.y->id];
    y.assign(static_cast<std::size_t>(op.y->span()), undefined);
    switch (op.kind) {
      case GraphOperation::Kind::pointwise:
        pointwise(op);
        break;
      case GraphOperation::Kind::matmul:
        matmul(op);
        break;
      case GraphOperation::Kind::reduction:
        reduce(op);
        break;
      case GraphOperation::Kind::reshape:
        y = values(*op.x);
        for (double& value : y) value = rounded(op.y->type, value);
        break;
    }
    if (op.y->is_virtual) return;
    each_index(op.y->sizes, [&](const Four& index) {
      const std::int64_t at = offset(*op.y, index);
      write(pointers_.at(op.y->id), op.y->type, at, y[static_cast<std::size_t>(at)]);
    });
  }

 private:
  // Computed before, or in memory.
  const std::vector<double>& values(const GraphTensor& x) {
    const auto found = values_.find(x.id);
    if (found != values_.end()) return found->second;
    std::vector<double>& all = values_[x.id];
    all.assign(static_cast<std::size_t>(x.span()), undefined);
    each_index(x.sizes, [&](const Four& index) {
      const std::int64_t at = offset(x, index);
      all[static_cast<std::size_t>(at)] =
          x.by_value ? numbers_.at(x.id) : read(pointers_.at(x.id), x.type, at);
    });
    return all;
  }
  double value(const GraphTensor& x, const Four& index) {
    return values(x)[static_cast<std::size_t>(offset(x, index))];
  }
  void store(const GraphTensor& y, const Four& index, double value) {
    values_[y.id][static_cast<std::size_t>(offset(y, index))] = rounded(y.type, value);
  }

  void pointwise(const GraphOperation& op) {
    each_index(op.y->sizes, [&](const Four& index) {
      if (op.mode == CUDNN_POINTWISE_GEN_INDEX)
        return store(*op.y, index, static_cast<double>(index[static_cast<std::size_t>(op.axis)]));
      const double x = value(*op.x, index), b = op.b ? value(*op.b, index) : 0;
      const double t = op.t ? value(*op.t, index) : 0;
      store(*op.y, index, apply(op.mode, x, b, t));
    });
  }

  static double apply(cudnnPointwiseMode_t mode, double x, double b, double t) {
    switch (mode) {
      case CUDNN_POINTWISE_ADD:
        return x + b;
      case CUDNN_POINTWISE_SUB:
        return x - b;
      case CUDNN_POINTWISE_MUL:
        return x * b;
      case CUDNN_POINTWISE_DIV:
        return x / b;
      case CUDNN_POINTWISE_EXP:
        return std::exp(x);
      case CUDNN_POINTWISE_LOG:
        return std::log(x);
      case CUDNN_POINTWISE_CMP_GE:
        return x >= b ? 1 : 0;
      case CUDNN_POINTWISE_CMP_LT:
        return x < b ? 1 : 0;
      case CUDNN_POINTWISE_LOGICAL_AND:
        return x != 0 && b != 0 ? 1 : 0;
      case CUDNN_POINTWISE_BINARY_SELECT:
        return t != 0 ? x : b;
      default:
        return x;
    }
  }

  void reduce(const GraphOperation& op) {
    const bool adds = op.reduction == CUDNN_REDUCE_TENSOR_ADD;
    std::vector<double> sums(static_cast<std::size_t>(op.y->span()),
                             adds ? 0 : -std::numeric_limits<double>::infinity());
    each_index(op.x->sizes, [&](const Four& index) {
      double& sum = sums[static_cast<std::size_t>(offset(*op.y, index))];
      const double x = value(*op.x, index);
      sum = adds ? sum + x : std::isnan(x) ? x : std::max(sum, x);
    });
    each_index(op.y->sizes, [&](const Four& index) {
      store(*op.y, index, sums[static_cast<std::size_t>(offset(*op.y, index))]);
    });
  }

  // Operands as tensor cores read them.
  void matmul(const GraphOperation& op) {
    const std::vector<double>&a = values(*op.x), &b = values(*op.b);
    const auto read_as_bf16 = [](const std::vector<double>& all, std::int64_t at) {
      return rounded(CUDNN_DATA_BFLOAT16, all[static_cast<std::size_t>(at)]);
    };
    for (std::int64_t batch = 0; batch < op.y->sizes[0]; ++batch) {
      const auto size = [&](const std::shared_ptr<const GraphTensor>& length, std::int64_t all) {
        return length ? static_cast<std::int64_t>(value(*length, {batch, 0, 0, 0})) : all;
      };
      const std::int64_t M = size(op.m, op.y->sizes[2]), N = size(op.n, op.y->sizes[3]),
                         K = size(op.k, op.x->sizes[3]);
      each_index({1, op.y->sizes[1], M, N}, [&](const Four& at) {
        const auto [zero, head, row, column] = at;
        double sum = 0;
        for (std::int64_t k = 0; k < K; ++k) {
          sum += read_as_bf16(a, offset(*op.x, {batch, head, row, k})) *
                 read_as_bf16(b, offset(*op.b, {batch, head, k, column}));
        }
        store(*op.y, {batch, head, row, column}, sum);
      });
    }
  }

  const std::map<std::int64_t, void*>& pointers_;
  const std::map<std::int64_t, double>& numbers_;
  std::map<std::int64_t, std::vector<double>> values_;
};

bool fits(const GraphTensor& x, const Four& sizes) {
  for (std::size_t i = 0; i < 4; ++i)
    if (x.sizes[i] != 1 && x.sizes[i] != sizes[i]) return false;
  return true;
}

// Tensor cores fetch 16 bytes at a time.
bool starts_at_packs(const GraphTensor& x) {
  if (x.is_virtual || x.type != CUDNN_DATA_BFLOAT16) return true;
  return std::all_of(x.strides.begin(), x.strides.end(),
                     [](std::int64_t stride) { return stride == 1 || stride % 8 == 0; });
}

}  // namespace

std::int64_t GraphTensor::span() const {
  std::int64_t last = 0;
  for (std::size_t i = 0; i < 4; ++i) last += (sizes[i] - 1) * strides[i];
  return last + 1;
}

const char* why_not(const GraphOperation& op) {
  switch (op.kind) {
    case GraphOperation::Kind::pointwise:
      if (!fits(*op.x, op.y->sizes) || (op.b && !fits(*op.b, op.y->sizes)) ||
          (op.t && !fits(*op.t, op.y->sizes)))
        return "sizes of a pointwise operation do not fit";
      return nullptr;
    case GraphOperation::Kind::matmul:
      if (op.x->sizes[3] != op.b->sizes[2] || op.x->sizes[2] != op.y->sizes[2] ||
          op.b->sizes[3] != op.y->sizes[3])
        return "sizes of a product do not fit";
      if (!starts_at_packs(*op.x) || !starts_at_packs(*op.b) || !starts_at_packs(*op.y))
        return "rows of a product are not aligned";
      return nullptr;
    case GraphOperation::Kind::reduction:
      return fits(*op.y, op.x->sizes) ? nullptr : "sizes of a reduction do not fit";
    case GraphOperation::Kind::reshape:
      return op.x->span() == op.y->span() ? nullptr : "sizes of a reshape do not fit";
  }
  return nullptr;
}

void execute(const std::vector<GraphOperation>& operations,
             const std::map<std::int64_t, void*>& pointers,
             const std::map<std::int64_t, double>& numbers) {
  Execution execution(pointers, numbers);
  for (const GraphOperation& operation : operations) execution.run(operation);
}

}  // namespace emulation
