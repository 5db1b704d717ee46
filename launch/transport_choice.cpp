#include "launch/transport_choice.hpp"

#include <algorithm>
#include <unistd.h>
#include <vector>

#include "core/gpu.hpp"
#include "core/nccl.hpp"
#include "core/random.hpp"
#include "core/say.hpp"

namespace lockstep {
namespace {

// A small message and one that no MPI sends before the receiver is there.
constexpr index_t test_sizes[] = {1024, index_t{1} << 22};

bool share_a_gpu(const Environment& environment, Device device) {
  Tensor places = Tensor::zeros({environment.size()}, DType::i64);
  places.data<std::int64_t>()[environment.rank()] = gpu_place(device);
  environment.world().all_gather(places, "control");
  std::int64_t* first = places.data<std::int64_t>();
  std::int64_t* last = first + places.count();
  std::sort(first, last);
  return std::adjacent_find(first, last) != last;
}

Tensor message(int sender, index_t bytes) {
  Tensor x = Tensor::empty({bytes}, DType::u8);
  for (index_t i = 0; i < bytes; ++i) {
    x.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(
        mix(static_cast<std::uint64_t>(sender), static_cast<std::uint64_t>(i / 8)) >> (i % 8 * 8));
  }
  return x;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  const std::uint8_t* bytes = a.data<std::uint8_t>();
  return std::equal(bytes, bytes + a.count(), b.data<std::uint8_t>());
}

// Every rank sends to the next and to the one before, out of and into GPU memory.
bool messages_arrive(const Environment& environment, Device device) {
  environment.use_transport(Transport::direct);
  const auto ring = environment.split(0, environment.rank(), "transport");
  environment.use_transport(Transport::staged);
  const int size = ring->size(), rank = ring->rank();
  const int next = (rank + 1) % size, previous = (rank + size - 1) % size;
  bool right = true;
  for (const index_t bytes : test_sizes) {
    const Tensor sent = message(rank, bytes).to(device);
    Tensor from_previous = Tensor::zeros({bytes}, DType::u8, device);
    Tensor from_next = Tensor::zeros({bytes}, DType::u8, device);
    {
      std::vector<Pending> pending;
      pending.push_back(ring->start_receive(from_previous, previous, 0, "control"));
      pending.push_back(ring->start_receive(from_next, next, 1, "control"));
      pending.push_back(ring->start_send(sent, next, 0, "control"));
      pending.push_back(ring->start_send(sent, previous, 1, "control"));
    }
    right = right && same_bytes(from_previous.to(Device{}), message(previous, bytes)) &&
            same_bytes(from_next.to(Device{}), message(next, bytes));
  }
  Tensor wrong = Tensor::from<std::int32_t>({right ? 0 : 1}, {1});
  environment.world().all_reduce(wrong, Reduce::max, "control");
  return wrong.data<std::int32_t>()[0] == 0;
}

// Why this MPI is not let at the memory of GPUs; empty when it is. Collective.
std::string why_not_cuda_aware(const Environment& environment, Device device) {
  Tensor no = Tensor::from<std::int32_t>({mpi_takes_gpu_memory() ? 0 : 1}, {1});
  environment.world().all_reduce(no, Reduce::max, "control");
  if (no.data<std::int32_t>()[0] != 0) {
    return build_string(mpi_library_version(), " does not say that it takes the memory of GPUs");
  }
  if (messages_arrive(environment, device)) return "";
  return build_string(mpi_library_version(),
                      " says that it takes the memory of GPUs, but test messages arrived wrong");
}

// Why NCCL is not used; empty when it is. Collective.
std::string why_not_nccl(const Environment& environment, Device device) {
  if (share_a_gpu(environment, device)) return "ranks share a GPU, which NCCL does not do";
  std::string reason;
  try {
    environment.agree([&] {
      const std::string own = why_no_nccl(device);
      require(own.empty(), own);
    });
  } catch (const AgreedError& error) {
    reason = error.what();
  }
  return reason;
}

}  // namespace

std::int64_t gpu_place(Device device) {
  char node[256] = "";
  (void)gethostname(node, sizeof node - 1);
  return static_cast<std::int64_t>(mix(hash_name(node), hash_name(pci_address(device))));
}

TransportChoice transport_choice_named(const std::string& name) {
  if (name == "staged") return TransportChoice::staged;
  if (name == "cuda-aware") return TransportChoice::cuda_aware;
  return name == "nccl" ? TransportChoice::nccl : TransportChoice::automatic;
}

void choose_transport(const Environment& environment,
                      TransportChoice choice,
                      Device device,
                      bool reproducible) {
  const bool automatic = choice == TransportChoice::automatic;
  if (!automatic)
    environment.agree([&] {
      require(device.kind == Device::Kind::cuda,
              "--transport has no effect on the CPU; leave it out or use --device cuda");
      require(environment.size() > 1,
              "--transport has no effect with one rank; leave it out or use more ranks");
    });
  if (device.kind == Device::Kind::cpu || environment.size() == 1) return;
  if (choice == TransportChoice::staged) return;
  std::string why_not;
  if (choice != TransportChoice::cuda_aware) {
    why_not = reproducible ? "--reproducible wants sums in rank order, and NCCL has its own"
                           : why_not_nccl(environment, device);
    if (why_not.empty()) return environment.use_transport(Transport::nccl);
    environment.agree([&] {
      require(automatic, "--transport nccl: ", why_not, "; use --transport staged or auto");
    });
  }
  const std::string why_staged = why_not_cuda_aware(environment, device);
  if (why_staged.empty()) return environment.use_transport(Transport::direct);
  environment.agree([&] {
    require(automatic, "--transport cuda-aware: ", why_staged, "; use --transport staged or auto");
  });
  if (environment.rank() == 0) {
    say(build_string("lockstep: tensors travel by way of the CPU: ", why_not, ", and ",
                     why_staged));
  }
}

}  // namespace lockstep
