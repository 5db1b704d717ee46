#include "core/cuda/attention_graph.hpp"

#include <utility>

namespace lockstep::cuda {

namespace {

using Sizes = std::vector<std::int64_t>;

// A tensor of the graph: what an operation on it has to know.
struct Node {
  const CudnnDescriptor* descriptor = nullptr;
  Sizes sizes, strides;
};

constexpr std::int64_t first_inner_id = 100;  // after the ports
constexpr std::int64_t alignment = 16;        // bytes

}  // namespace

// Sizes are (B, NH, rows, columns). Inner tensors are "virtual": they are never in memory.
class AttentionGraphBuilder {
 public:
  AttentionGraphBuilder(AttentionGraph& graph, const AttentionShape& shape)
      : graph_(graph), s_(shape) {}

  void forward() {
    const Node v = rows(Port::v, s_.row_stride), y = rows(Port::y, s_.NH * s_.HS);
    const Node q = rows(Port::q, s_.row_stride), k = transposed(Port::k);
    Node scores = scaled_scores(q, k);
    if (s_.lengths) scores = mask_lengths(scores);
    if (s_.causal) scores = mask_future(scores);
    const Node most = reduce(CUDNN_REDUCE_TENSOR_MAX, scores, inner(row_sizes(), row_strides()));
    const Node exponentials =
        map(CUDNN_POINTWISE_EXP, map(CUDNN_POINTWISE_SUB, scores, most, inner_like(scores)),
            inner_like(scores));
    const Node sum =
        reduce(CUDNN_REDUCE_TENSOR_ADD, exponentials, inner(row_sizes(), row_strides()));
    const Node log = map(CUDNN_POINTWISE_LOG, sum, inner_like(sum));
    map(CUDNN_POINTWISE_ADD, most, log, row_numbers(Port::lse));
    Node p = map(CUDNN_POINTWISE_DIV, exponentials, sum,
                 inner_like(scores, s_.dropout ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16));
    if (s_.dropout) {
      p = map(CUDNN_POINTWISE_MUL, p, dropout_mask(), inner_like(p));
      p = map(CUDNN_POINTWISE_MUL, p, number(Port::factor), inner_like(p, CUDNN_DATA_BFLOAT16));
    }
    multiply(p, v, y, {.m = query_lengths_, .k = key_lengths_});
  }

  void backward() {
    const Node q = rows(Port::q, s_.row_stride), k = transposed(Port::k), v = transposed(Port::v);
    const Node y = rows(Port::y, s_.NH * s_.HS), dy = rows(Port::dy, s_.NH * s_.HS);
    const Node dots = row_dots(dy, y);
    const Node keep = s_.dropout ? dropout_mask() : Node{};
    const Node factor = s_.dropout ? number(Port::factor) : Node{};

    Node scores = scaled_scores(q, k);
    scores = map(CUDNN_POINTWISE_SUB, scores, row_numbers(Port::lse), inner_like(scores));
    if (s_.lengths) scores = mask_lengths(scores);
    if (s_.causal) scores = mask_future(scores);
    const Node p = map(CUDNN_POINTWISE_EXP, scores, inner_like(scores));
    Node kept = p;
    if (s_.dropout) {
      kept = map(CUDNN_POINTWISE_MUL, kept, keep, inner_like(kept));
      kept = map(CUDNN_POINTWISE_MUL, kept, factor, inner_like(kept));
    }
    multiply(turned(kept), dy, rows(Port::dv, s_.row_stride),
             {.m = key_lengths_, .k = query_lengths_});

    Node dp = multiply(dy, v, inner(score_sizes(), score_strides()),
                       {.m = query_lengths_, .n = key_lengths_});
    if (s_.dropout) dp = map(CUDNN_POINTWISE_MUL, dp, keep, inner_like(dp));
    Node ds = map(CUDNN_POINTWISE_SUB, dp, dots, inner_like(dp));
    ds = map(CUDNN_POINTWISE_MUL, ds, p, inner_like(ds));
    if (s_.dropout) ds = map(CUDNN_POINTWISE_MUL, ds, factor, inner_like(ds));
    ds = map(CUDNN_POINTWISE_MUL, ds, scale_,
             inner_like(ds, s_.deterministic ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT));
    multiply(turned(ds), q, rows(Port::dk, s_.row_stride),
             {.m = key_lengths_, .k = query_lengths_});
    query_gradients(ds, k);
  }

 private:
  // Sizes of a product that samples have less of.
  struct Lengths {
    const CudnnDescriptor* m = nullptr;
    const CudnnDescriptor* n = nullptr;
    const CudnnDescriptor* k = nullptr;
  };

  Sizes score_sizes() const { return {s_.B, s_.NH, s_.T, s_.T}; }
  Sizes score_strides() const { return {s_.NH * s_.T * s_.T, s_.T * s_.T, s_.T, 1}; }
  Sizes row_sizes() const { return {s_.B, s_.NH, s_.T, 1}; }
  Sizes row_strides() const { return {s_.NH * s_.T, s_.T, 1, 1}; }

  CudnnDescriptor& make(cudnnBackendDescriptorType_t type) {
    return graph_.descriptors_.emplace_back(type);
  }

  Node tensor(std::int64_t id, Sizes sizes, Sizes strides, cudnnDataType_t type, bool by_value) {
    CudnnDescriptor& descriptor = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    descriptor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, sizes)
        .set(CUDNN_ATTR_TENSOR_STRIDES, strides)
        .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
        .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment)
        .set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
        .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, id >= first_inner_id)
        .set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, by_value)
        .finalize();
    return {&descriptor, std::move(sizes), std::move(strides)};
  }
  Node tensor(Port port, Sizes sizes, Sizes strides, cudnnDataType_t type, bool by_value = false) {
    return tensor(static_cast<std::int64_t>(port), std::move(sizes), std::move(strides), type,
                  by_value);
  }
  Node inner(Sizes sizes, Sizes strides, cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    return tensor(next_inner_id_++, std::move(sizes), std::move(strides), type, false);
  }
  Node inner_like(const Node& x, cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    return inner(x.sizes, x.strides, type);
  }

  // A matrix (B T, row_stride) of which a head has HS columns.
  Node rows(Port port, std::int64_t row_stride) {
    return tensor(port, {s_.B, s_.NH, s_.T, s_.HS}, {s_.T * row_stride, s_.HS, row_stride, 1},
                  CUDNN_DATA_BFLOAT16);
  }
  Node transposed(Port port) {
    return tensor(port, {s_.B, s_.NH, s_.HS, s_.T}, {s_.T * s_.row_stride, s_.HS, 1, s_.row_stride},
                  CUDNN_DATA_BFLOAT16);
  }
  Node row_numbers(Port port) { return tensor(port, row_sizes(), row_strides(), CUDNN_DATA_FLOAT); }
  Node number(Port port) {
    return tensor(port, {1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, true);
  }
  Node dropout_mask() {
    const std::int64_t stride = mask_stride(s_.T);
    return tensor(Port::mask, score_sizes(), {s_.NH * s_.T * stride, s_.T * stride, stride, 1},
                  CUDNN_DATA_BFLOAT16);
  }
  const CudnnDescriptor* lengths(Port port) {
    return tensor(port, {s_.B, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_INT32).descriptor;
  }

  void keep_operation(CudnnDescriptor& operation) {
    operation.finalize();
    graph_.operations_.push_back(&operation);
  }

  struct Pointwise {
    cudnnPointwiseMode_t mode;
    const CudnnDescriptor *x, *b = nullptr, *selector = nullptr;
    std::int64_t axis = -1;
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  };
  Node pointwise(const Pointwise& p, const Node& y) {
    CudnnDescriptor& how = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    how.set(CUDNN_ATTR_POINTWISE_MODE, p.mode).set(CUDNN_ATTR_POINTWISE_MATH_PREC, p.compute);
    if (p.axis >= 0) how.set(CUDNN_ATTR_POINTWISE_AXIS, p.axis);
    how.finalize();
    CudnnDescriptor& operation = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *p.x)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, *y.descriptor);
    if (p.b != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *p.b);
    if (p.selector != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, *p.selector);
    keep_operation(operation);
    return y;
  }
  Node map(cudnnPointwiseMode_t mode, const Node& x, const Node& y) {
    return pointwise({.mode = mode, .x = x.descriptor}, y);
  }
  Node map(cudnnPointwiseMode_t mode, const Node& x, const Node& b, const Node& y) {
    return pointwise({.mode = mode, .x = x.descriptor, .b = b.descriptor}, y);
  }

  Node reduce(cudnnReduceTensorOp_t how, const Node& x, const Node& y) {
    CudnnDescriptor& reduction = make(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    reduction.set(CUDNN_ATTR_REDUCTION_OPERATOR, how)
        .set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT)
        .finalize();
    CudnnDescriptor& operation = make(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    keep_operation(operation.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, reduction)
                       .set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, *x.descriptor)
                       .set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, *y.descriptor));
    return y;
  }

  Node multiply(const Node& a, const Node& b, const Node& c, const Lengths& lengths) {
    CudnnDescriptor& how = make(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    how.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT).finalize();
    CudnnDescriptor& operation = make(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, *a.descriptor)
        .set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, *b.descriptor)
        .set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, *c.descriptor)
        .set(CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    if (lengths.m != nullptr)
      operation.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, *lengths.m);
    if (lengths.n != nullptr)
      operation.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, *lengths.n);
    if (lengths.k != nullptr)
      operation.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, *lengths.k);
    keep_operation(operation);
    return c;
  }

  // The same elements, read with other sizes and strides.
  Node reshape(const Node& x, const Node& y) {
    CudnnDescriptor& operation = make(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    keep_operation(operation.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, *x.descriptor)
                       .set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, *y.descriptor));
    return y;
  }
  // Scores with keys as rows, in bf16 for a product.
  Node turned(const Node& scores) {
    return reshape(scores, inner(score_sizes(), {s_.NH * s_.T * s_.T, s_.T * s_.T, 1, s_.T},
                                 CUDNN_DATA_BFLOAT16));
  }

  Node scaled_scores(const Node& q, const Node& k) {
    scale_ = number(Port::scale);
    if (s_.lengths || s_.causal) minus_infinity_ = number(Port::minus_infinity);
    if (s_.lengths) {
      query_lengths_ = lengths(Port::query_lengths);
      key_lengths_ = lengths(Port::key_lengths);
    }
    const Node products = multiply(q, k, inner(score_sizes(), score_strides()),
                                   {.m = query_lengths_, .n = key_lengths_});
    return map(CUDNN_POINTWISE_MUL, products, scale_, inner_like(products));
  }

  Node index(const Node& scores, std::int64_t axis) {
    return pointwise({.mode = CUDNN_POINTWISE_GEN_INDEX,
                      .x = scores.descriptor,
                      .axis = axis,
                      .compute = CUDNN_DATA_INT32},
                     inner_like(scores, CUDNN_DATA_INT32));
  }
  Node compare(cudnnPointwiseMode_t mode, const Node& a, const CudnnDescriptor& b) {
    return pointwise({.mode = mode, .x = a.descriptor, .b = &b, .compute = CUDNN_DATA_BOOLEAN},
                     inner_like(a, CUDNN_DATA_BOOLEAN));
  }
  Node select(const Node& scores, const Node& where) {
    return pointwise({.mode = CUDNN_POINTWISE_BINARY_SELECT,
                      .x = scores.descriptor,
                      .b = minus_infinity_.descriptor,
                      .selector = where.descriptor},
                     inner_like(scores));
  }
  Node mask_lengths(const Node& scores) {
    const Node row = index(scores, 2), column = index(scores, 3);
    const Node row_counts = compare(CUDNN_POINTWISE_CMP_LT, row, *query_lengths_);
    const Node column_counts = compare(CUDNN_POINTWISE_CMP_LT, column, *key_lengths_);
    return select(scores,
                  compare(CUDNN_POINTWISE_LOGICAL_AND, row_counts, *column_counts.descriptor));
  }
  Node mask_future(const Node& scores) {
    const Node row = index(scores, 2), column = index(scores, 3);
    return select(scores, compare(CUDNN_POINTWISE_CMP_GE, row, *column.descriptor));
  }

  // What the softmax's gradient takes off, over the factor that is multiplied with later.
  Node row_dots(const Node& dy, const Node& y) {
    const Node products = map(CUDNN_POINTWISE_MUL, dy, y, inner_like(dy));
    const Node sums = reduce(CUDNN_REDUCE_TENSOR_ADD, products, inner(row_sizes(), row_strides()));
    return map(CUDNN_POINTWISE_MUL, sums, number(Port::inverse_factor), row_numbers(Port::dots));
  }

  // Blocks of keys add to dq in the order they end, unless dS is kept whole.
  void query_gradients(const Node& ds, const Node& k) {
    const Node keys =
        reshape(k, inner({s_.B, s_.NH, s_.T, s_.HS},
                         {s_.T * s_.row_stride, s_.HS, s_.row_stride, 1}, CUDNN_DATA_BFLOAT16));
    const Node dq = rows(Port::dq, s_.row_stride);
    const Lengths lengths{.m = query_lengths_, .k = key_lengths_};
    if (s_.deterministic) {
      multiply(ds, keys, dq, lengths);
      return;
    }
    const Node sum = tensor(Port::dq_sum, dq.sizes, {s_.NH * s_.T * s_.HS, s_.T * s_.HS, s_.HS, 1},
                            CUDNN_DATA_FLOAT);
    map(CUDNN_POINTWISE_IDENTITY, multiply(ds, keys, sum, lengths), dq);
  }

  AttentionGraph& graph_;
  const AttentionShape& s_;
  std::int64_t next_inner_id_ = first_inner_id;
  Node scale_, minus_infinity_;
  const CudnnDescriptor *query_lengths_ = nullptr, *key_lengths_ = nullptr;
};

AttentionGraph::AttentionGraph(const AttentionShape& shape) {
  AttentionGraphBuilder builder(*this, shape);
  if (shape.backward) {
    builder.backward();
  } else {
    builder.forward();
  }
}

std::vector<const CudnnDescriptor*> AttentionGraph::operations() const { return operations_; }

namespace {

AttentionEngines engines(CudnnDescriptor graph, const CudnnDescriptor* device) {
  graph.finalize();
  CudnnDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_A);
  if (device != nullptr) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
  heuristics.finalize();
  auto found = heuristics.list(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  return {std::move(graph), std::move(found)};
}

CudnnDescriptor graph_of(const AttentionGraph& graph) {
  CudnnDescriptor descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  descriptor.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, graph.operations());
  return descriptor;
}

}  // namespace

AttentionEngines engines_of(const AttentionGraph& graph, cudnnHandle_t handle) {
  CudnnDescriptor descriptor = graph_of(graph);
  descriptor.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle);
  return engines(std::move(descriptor), nullptr);
}

AttentionEngines engines_of(const AttentionGraph& graph, const std::string& device) {
  CudnnDescriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, device).finalize();
  return engines(graph_of(graph), &properties);
}

}  // namespace lockstep::cuda
