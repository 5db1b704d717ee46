// Every collective against values computed locally, with the usual limits and with limits so small
// that all is cut many times; of a GPU's tensors by every transport that is to be had.
#include "parallel/mpi/group.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "core/dispatch.hpp"
#include "core/error.hpp"
#include "core/nccl.hpp"
#include "core/random.hpp"
#include "tests/support/mpi.hpp"
#include "tests/support/tolerance.hpp"

namespace lockstep::test {
namespace {

const std::vector<DType> all_dtypes = {DType::f32, DType::f64, DType::i32, DType::i64};

// What rank `rank` brings: numbers of mixed size whose float sums depend on the order.
Tensor values_of(int rank, index_t n, DType dtype) {
  Tensor x = Tensor::empty({n}, dtype);
  for (index_t i = 0; i < n; ++i) {
    const std::uint64_t bits =
        mix(static_cast<std::uint64_t>(rank) + 1, static_cast<std::uint64_t>(i));
    const double value = static_cast<double>(bits >> 11) * 0x1p-52 - 1.0;
    switch (dtype) {
      case DType::f32:
        x.data<float>()[i] = static_cast<float>(value);
        break;
      case DType::f64:
        x.data<double>()[i] = value;
        break;
      case DType::i32:
        x.data<std::int32_t>()[i] = static_cast<std::int32_t>(value * 1e8);
        break;
      case DType::i64:
        x.data<std::int64_t>()[i] = static_cast<std::int64_t>(value * 1e17);
        break;
      case DType::u8:
        x.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(bits);
        break;
      case DType::bf16:
        x.data<Bf16>()[i].bits = static_cast<std::uint16_t>(bits);
        break;
    }
  }
  return x;
}

template <typename T>
void reduce_into(Tensor& into, const Tensor& x, Reduce reduce) {
  for (index_t i = 0; i < x.count(); ++i) {
    T& a = into.data<T>()[i];
    const T b = x.data<T>()[i];
    a = reduce == Reduce::sum ? a + b : reduce == Reduce::max ? std::max(a, b) : std::min(a, b);
  }
}

// The reduction over ranks [first, first + count) in a tree: pairs of neighbours, then pairs of
// pairs.
Tensor reduced_locally(int first, int count, index_t n, DType dtype, Reduce reduce) {
  if (count == 1) return values_of(first, n, dtype);
  int left = 1;
  while (2 * left < count) left *= 2;
  Tensor sum = reduced_locally(first, left, n, dtype, reduce);
  const Tensor x = reduced_locally(first + left, count - left, n, dtype, reduce);
  switch (dtype) {
    case DType::f32:
      reduce_into<float>(sum, x, reduce);
      break;
    case DType::f64:
      reduce_into<double>(sum, x, reduce);
      break;
    case DType::i32:
      reduce_into<std::int32_t>(sum, x, reduce);
      break;
    default:
      reduce_into<std::int64_t>(sum, x, reduce);
      break;
  }
  return sum;
}

Tensor reduced_locally(int size, index_t n, DType dtype, Reduce reduce) {
  return reduced_locally(0, size, n, dtype, reduce);
}

bool same_bits(const Tensor& x, const Tensor& y) {
  const Tensor a = x.to(Device{}), b = y.to(Device{});
  return a.bytes() == b.bytes() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

struct Setting {
  const char* name;
  mpi::Limits limits;
  std::vector<index_t> sizes;
  std::vector<DType> dtypes;
  bool on_gpu = false;
  Transport transport = Transport::staged;
};

// Bytes and bf16 move but have no sum.
std::vector<DType> with_unsummed(std::vector<DType> dtypes) {
  dtypes.insert(dtypes.end(), {DType::u8, DType::bf16});
  return dtypes;
}

class GroupOfAll : public testing::TestWithParam<Setting> {
 protected:
  GroupOfAll() {
    environment().use_transport(GetParam().transport);
    group_ = environment().split(0, environment().rank(), "test");
    environment().use_transport(Transport::staged);
    if (auto* group = dynamic_cast<mpi::MpiGroup*>(group_.get())) {
      mpi::Limits limits = GetParam().limits;
      limits.direct = GetParam().transport == Transport::direct;
      group->set_limits(limits);
    }
  }

  void SetUp() override {
    std::string reason;
    if (!GetParam().on_gpu) return;
    const int gpus = num_gpus(&reason);
    if (gpus == 0) GTEST_SKIP() << reason;
    device_ = {Device::Kind::cuda, environment().local_rank() % gpus};
    if (GetParam().transport == Transport::direct && !mpi_takes_gpu_memory())
      GTEST_SKIP() << "this MPI library does not take the memory of GPUs";
    if (GetParam().transport != Transport::nccl) return;
    if (environment().local_size() > gpus) GTEST_SKIP() << "NCCL wants a GPU for each rank";
    reason = why_no_nccl(device_);
    if (!reason.empty()) GTEST_SKIP() << reason;
  }

  int rank() const { return group_->rank(); }
  int size() const { return group_->size(); }
  Tensor put(const Tensor& x) const { return x.to(device_); }

  // Sums over ranks are in rank order but for NCCL's.
  bool is_sum(const Tensor& x, const Tensor& expected) const {
    const bool floats = x.dtype() == DType::f32 || x.dtype() == DType::f64;
    if (GetParam().transport != Transport::nccl || !floats) return same_bits(x, expected);
    return relative_error(x.to(Device{}), expected) <= tolerance(x.dtype(), size());
  }

  std::unique_ptr<Group> group_;
  Device device_;
};

TEST_P(GroupOfAll, AllReduceIsTheReductionInRankOrderOnAll) {
  for (const DType dtype : GetParam().dtypes) {
    for (const Reduce reduce : {Reduce::sum, Reduce::max, Reduce::min}) {
      for (const index_t n : GetParam().sizes) {
        if (n > 1 << 20 && reduce != Reduce::sum) continue;  // sums take the same way: save time
        Tensor x = put(values_of(rank(), n, dtype));

        group_->all_reduce(x, reduce, "test");

        EXPECT_TRUE(is_sum(x, reduced_locally(size(), n, dtype, reduce)))
            << n << " elements of " << name_of(dtype);
      }
    }
  }
}

TEST_P(GroupOfAll, ReduceScatterLeavesTheSumOfTheOwnSpan) {
  for (const DType dtype : GetParam().dtypes) {
    for (const index_t n : GetParam().sizes) {
      Tensor x = put(values_of(rank(), n, dtype));
      const Span own = span_of(n, rank(), size());

      group_->reduce_scatter(x, "test");

      const Tensor expected = reduced_locally(size(), n, dtype, Reduce::sum);
      EXPECT_TRUE(is_sum(x.range(own.first, own.count), expected.range(own.first, own.count)))
          << n << " elements of " << name_of(dtype);
    }
  }
}

// Windows of a longer flat, begun one beside the other: each rank ends with its part of the whole.
TEST_P(GroupOfAll, ReduceScatterTakesWindowsOfALongerWhole) {
  for (const DType dtype : GetParam().dtypes) {
    for (const index_t n : GetParam().sizes) {
      Tensor x = put(values_of(rank(), n, dtype));
      const Span own = span_of(n, rank(), size());
      const index_t length = std::max<index_t>(1, n / 3);

      std::vector<Pending> sums;
      for (index_t first = 0; first < n; first += length) {
        sums.push_back(group_->start_reduce_scatter(x.range(first, std::min(length, n - first)),
                                                    "test", {first, n}, start_waiting(x.device())));
      }
      for (Pending& sum : sums) sum.wait();

      const Tensor expected = reduced_locally(size(), n, dtype, Reduce::sum);
      EXPECT_TRUE(is_sum(x.range(own.first, own.count), expected.range(own.first, own.count)))
          << n << " elements of " << name_of(dtype);
    }
  }
}

TEST_P(GroupOfAll, AllGatherBringsUnevenSpansTogether) {
  for (const DType dtype : with_unsummed(GetParam().dtypes)) {
    for (const index_t n : GetParam().sizes) {
      const Tensor whole = values_of(77, n, dtype);
      const Span own = span_of(n, rank(), size());
      Tensor x = put(Tensor::zeros({n}, dtype));
      x.range(own.first, own.count).copy_from(put(whole.range(own.first, own.count)));

      group_->all_gather(x, "test");

      EXPECT_TRUE(same_bits(x, whole)) << n << " elements of " << name_of(dtype);
    }
  }
}

TEST_P(GroupOfAll, AllToAllSendsBlockRToRankR) {
  for (const DType dtype : with_unsummed(GetParam().dtypes)) {
    for (const index_t n : GetParam().sizes) {
      const index_t block = (n + size() - 1) / size();
      const Tensor from = put(values_of(rank(), block * size(), dtype));
      Tensor to = put(Tensor::zeros({block * size()}, dtype));

      group_->all_to_all(to, from, "test");

      for (int peer = 0; peer < size(); ++peer) {
        const Tensor sent = values_of(peer, block * size(), dtype);
        EXPECT_TRUE(same_bits(to.range(peer * block, block), sent.range(rank() * block, block)))
            << block << " elements of " << name_of(dtype) << " from " << peer;
      }
    }
  }
}

TEST_P(GroupOfAll, BroadcastReachesAllFromAnyRoot) {
  for (const DType dtype : with_unsummed(GetParam().dtypes)) {
    for (const index_t n : GetParam().sizes) {
      for (int root = 0; root < size(); ++root) {
        Tensor x = put(values_of(rank(), n, dtype));

        group_->broadcast(x, root, "test");

        EXPECT_TRUE(same_bits(x, values_of(root, n, dtype))) << n << " elements from " << root;
      }
    }
  }
}

TEST_P(GroupOfAll, SumsHaveTheSameBitsOnAllRanksAndTwice) {
  const index_t n = GetParam().sizes.back();
  Tensor once = put(values_of(rank(), n, DType::f32)), twice = once.clone();

  group_->all_reduce(once, Reduce::sum, "test");
  group_->all_reduce(twice, Reduce::sum, "test");

  Tensor of_rank_0 = once.clone();
  group_->broadcast(of_rank_0, 0, "test");
  EXPECT_TRUE(same_bits(once, twice));
  EXPECT_TRUE(same_bits(once, of_rank_0));
}

TEST_P(GroupOfAll, MessagesOfATagArriveInOrderAndTagsDoNotMix) {
  if (size() == 1) GTEST_SKIP() << "one rank has no peer";
  const index_t n = GetParam().sizes.back();
  const int next = (rank() + 1) % size(), previous = (rank() + size() - 1) % size();
  Tensor received[3] = {put(Tensor::zeros({n}, DType::f32)), put(Tensor::zeros({n}, DType::f32)),
                        put(Tensor::zeros({n}, DType::f32))};

  std::vector<Pending> pending;
  pending.push_back(group_->start_receive(received[2], previous, 9, "test"));
  pending.push_back(group_->start_receive(received[0], previous, 5, "test"));
  pending.push_back(group_->start_receive(received[1], previous, 5, "test"));
  pending.push_back(group_->start_send(put(values_of(rank(), n, DType::f32)), next, 5, "test"));
  pending.push_back(
      group_->start_send(put(values_of(rank() + 100, n, DType::f32)), next, 5, "test"));
  pending.push_back(
      group_->start_send(put(values_of(rank() + 200, n, DType::f32)), next, 9, "test"));
  pending.clear();

  EXPECT_TRUE(same_bits(received[0], values_of(previous, n, DType::f32)));
  EXPECT_TRUE(same_bits(received[1], values_of(previous + 100, n, DType::f32)));
  EXPECT_TRUE(same_bits(received[2], values_of(previous + 200, n, DType::f32)));
}

TEST_P(GroupOfAll, AllMaySendBeforeAnyReceives) {
  if (size() == 1) GTEST_SKIP() << "one rank has no peer";
  const index_t n = GetParam().sizes.back();
  const int next = (rank() + 1) % size(), previous = (rank() + size() - 1) % size();
  Tensor x = put(Tensor::zeros({n}, DType::f64));

  Pending sending = group_->start_send(put(values_of(rank(), n, DType::f64)), next, 0, "test");
  group_->receive(x, previous, 0, "test");
  sending.wait();

  EXPECT_TRUE(same_bits(x, values_of(previous, n, DType::f64)));
}

TEST_P(GroupOfAll, DestroyedPendingHasWaited) {
  const index_t n = GetParam().sizes.back();
  Tensor x = put(values_of(rank(), n, DType::f64));

  { const Pending pending = group_->start_all_reduce(x, Reduce::sum, "test"); }

  EXPECT_TRUE(is_sum(x, reduced_locally(size(), n, DType::f64, Reduce::sum)));
}

TEST_P(GroupOfAll, ASumMayComeAfterSomeOpsAndBesideOthers) {
  const index_t n = GetParam().sizes.back();
  Tensor x = put(values_of(rank(), n, DType::f32)).clone(), other = x.clone();
  const CopyTicket there = start_waiting(x.device());
  for (int i = 0; i < 8; ++i) other.copy_from(other.clone());

  Pending sum = group_->start_all_reduce(x, Reduce::sum, "test", there);
  while (!sum.done()) continue;
  while (!done(x.device(), there)) continue;

  EXPECT_TRUE(is_sum(x, reduced_locally(size(), n, DType::f32, Reduce::sum)));
}

TEST_P(GroupOfAll, RanksMayWaitInDifferentOrders) {
  const index_t n = GetParam().sizes.back();
  Tensor a = put(values_of(rank(), n, DType::f32)), b = put(values_of(rank(), n, DType::f64));

  Pending first = group_->start_all_reduce(a, Reduce::sum, "test");
  Pending second = group_->start_all_reduce(b, Reduce::sum, "test");
  if (rank() % 2 == 0) {
    first.wait();
    group_->barrier();
    second.wait();
  } else {
    second.wait();
    group_->barrier();
    first.wait();
  }

  EXPECT_TRUE(is_sum(a, reduced_locally(size(), n, DType::f32, Reduce::sum)));
  EXPECT_TRUE(is_sum(b, reduced_locally(size(), n, DType::f64, Reduce::sum)));
}

TEST_P(GroupOfAll, NotANumberSurvivesMaximumAndMinimum) {
  for (const Reduce reduce : {Reduce::max, Reduce::min}) {
    for (int holder = 0; holder < size(); ++holder) {
      Tensor x = values_of(rank(), 64, DType::f32);
      if (rank() == holder) x.data<float>()[5] = std::numeric_limits<float>::quiet_NaN();
      x = put(x);

      group_->all_reduce(x, reduce, "test");

      x = x.to(Device{});
      EXPECT_TRUE(std::isnan(x.data<float>()[5])) << "held by rank " << holder;
      EXPECT_FALSE(std::isnan(x.data<float>()[4]));
    }
  }
}

// By way of staging memory, in chunks of a few elements.
mpi::Limits staged_limits() {
  mpi::Limits limits;
  limits.staging_bytes = 400;
  limits.stage_all = true;
  return limits;
}

std::vector<Setting> settings() {
  std::vector<Setting> all = {{"usual", {}, {0, 1, 7, 5000}, all_dtypes},
                              {"large",
                               {.message_elements = 10007, .bucket_bytes = 1 << 16},
                               {(1 << 20) + 3},
                               {DType::f32}},
                              {"tiny",
                               {.message_elements = 3, .bucket_bytes = 64, .one_trip_bytes = 0},
                               {0, 1, 2, 3, 7, 1000},
                               all_dtypes},
                              {"staged", staged_limits(), {0, 1, 2, 3, 7, 1000}, all_dtypes}};
  if (built_with_cuda) {
    const mpi::Limits small = {.message_elements = 30, .bucket_bytes = 640, .one_trip_bytes = 0};
    all.push_back({"gpu", {}, {0, 1, 7, 5000}, all_dtypes, true});
    all.push_back({"gpu_in_chunks", staged_limits(), {0, 1, 3, 1000}, all_dtypes, true});
    all.push_back({"gpu_direct", {}, {0, 1, 7, 5000}, all_dtypes, true, Transport::direct});
    all.push_back({"gpu_direct_small", small, {0, 1, 3, 200}, all_dtypes, true, Transport::direct});
    all.push_back({"gpu_nccl", {}, {0, 1, 7, 5000, 5040}, all_dtypes, true, Transport::nccl});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Limits,
                         GroupOfAll,
                         testing::ValuesIn(settings()),
                         [](const testing::TestParamInfo<Setting>& info) {
                           return std::string(info.param.name);
                         });

TEST(Group, RefusesPeersAndTagsThatDoNotExist) {
  const auto group = environment().split(0, environment().rank(), "test");
  Tensor x = Tensor::zeros({4}, DType::f32);

  EXPECT_THROW((void)group->start_send(x, group->size(), 0, "test"), Error);
  EXPECT_THROW((void)group->start_send(x, group->rank(), 0, "test"), Error);
  EXPECT_THROW((void)group->start_receive(x, -1, 0, "test"), Error);
  if (group->size() > 1) {
    EXPECT_THROW((void)group->start_send(x, (group->rank() + 1) % group->size(), -1, "test"),
                 Error);
  }
}

TEST(Group, RefusesWhatItCannotSumOrCutIntoBlocks) {
  const auto group = environment().split(0, environment().rank(), "test");
  if (group->size() == 1) GTEST_SKIP() << "one rank sums nothing";
  Tensor bytes = Tensor::zeros({4}, DType::u8), halves = Tensor::zeros({4}, DType::bf16);
  Tensor x = Tensor::zeros({12, 2}, DType::f32), columns = x.column_range(0, 1);
  Tensor odd = Tensor::zeros({2 * group->size() + 1}, DType::f32);

  EXPECT_THROW((void)group->start_all_reduce(bytes, Reduce::sum, "test"), Error);
  EXPECT_THROW((void)group->start_reduce_scatter(halves, "test"), Error);
  EXPECT_THROW((void)group->start_all_reduce(columns, Reduce::sum, "test"), Error);
  EXPECT_THROW((void)group->start_all_to_all(odd.clone(), odd, "test"), Error);
}

}  // namespace
}  // namespace lockstep::test
