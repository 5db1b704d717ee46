#include "parallel/checkpoint/gather_text.hpp"

#include <algorithm>
#include <cstring>

namespace lockstep::checkpoint {
namespace {

constexpr char what[] = "checkpoint";

std::vector<index_t> gather_sizes(Group& group, const std::string& text) {
  Tensor sizes = Tensor::zeros({group.size()}, DType::i64);
  sizes.data<std::int64_t>()[group.rank()] = static_cast<std::int64_t>(text.size());
  group.all_reduce(sizes, Reduce::sum, what);
  return {sizes.data<std::int64_t>(), sizes.data<std::int64_t>() + group.size()};
}

std::string text_of(const std::uint8_t* bytes, index_t size) {
  return {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

}  // namespace

std::vector<std::string> gather_text(Group& group, const std::string& text) {
  const std::vector<index_t> sizes = gather_sizes(group, text);
  std::vector<std::string> texts;
  if (group.rank() != 0) {
    Tensor bytes = Tensor::empty({static_cast<index_t>(text.size())}, DType::u8);
    std::memcpy(bytes.raw(), text.data(), text.size());
    if (!text.empty()) group.send(bytes, 0, 0, what);
    return texts;
  }
  texts.push_back(text);
  for (int rank = 1; rank < group.size(); ++rank) {
    const index_t size = sizes[static_cast<std::size_t>(rank)];
    Tensor bytes = Tensor::empty({size}, DType::u8);
    if (size > 0) group.receive(bytes, rank, 0, what);
    texts.push_back(text_of(bytes.data<std::uint8_t>(), size));
  }
  return texts;
}

std::vector<std::string> all_gather_text(Group& group, const std::string& text) {
  const std::vector<index_t> sizes = gather_sizes(group, text);
  const index_t longest = *std::max_element(sizes.begin(), sizes.end());
  std::vector<std::string> texts(sizes.size());
  if (longest == 0) return texts;
  Tensor bytes = Tensor::zeros({longest * group.size()}, DType::u8);
  std::memcpy(bytes.data<std::uint8_t>() + longest * group.rank(), text.data(), text.size());
  group.all_gather(bytes, what);
  for (std::size_t rank = 0; rank < texts.size(); ++rank) {
    texts[rank] =
        text_of(bytes.data<std::uint8_t>() + longest * static_cast<index_t>(rank), sizes[rank]);
  }
  return texts;
}

}  // namespace lockstep::checkpoint
