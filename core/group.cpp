#include "core/group.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace lockstep {

void broadcast_text(Group& group, std::string& text, int root) {
  Tensor length = Tensor::from<std::int64_t>({static_cast<std::int64_t>(text.size())}, {1});
  group.broadcast(length, root, "text");
  const index_t bytes = length.data<std::int64_t>()[0];
  Tensor characters = Tensor::empty({bytes}, DType::u8);
  if (group.rank() == root) std::copy(text.begin(), text.end(), characters.data<std::uint8_t>());
  group.broadcast(characters, root, "text");
  const std::uint8_t* first = characters.data<std::uint8_t>();
  text.assign(first, first + bytes);
}

Pending LocalGroup::start_all_reduce(Tensor, Reduce, const char*, CopyTicket) { return {}; }
Pending LocalGroup::start_reduce_scatter(Tensor, const char*, Window, CopyTicket) { return {}; }
Pending LocalGroup::start_all_gather(Tensor, const char*) { return {}; }

Pending LocalGroup::start_all_to_all(Tensor to, Tensor from, const char*) {
  to.copy_from(from);
  return {};
}

Pending LocalGroup::start_send(Tensor, int to, int, const char* what) {
  fail("send of ", what, " to rank ", to, " in a group of one");
}

Pending LocalGroup::start_receive(Tensor, int from, int, const char* what) {
  fail("receive of ", what, " from rank ", from, " in a group of one");
}

void LocalGroup::broadcast(Tensor, int, const char*) {}

}  // namespace lockstep
