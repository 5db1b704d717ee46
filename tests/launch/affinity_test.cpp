// Which cores a rank keeps to, from a sysfs of the test's own.
#include "launch/affinity.hpp"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/temporary_directory.hpp"

namespace lockstep {
namespace {

using Cores = std::vector<int>;

class NearGpu : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = directory_.path() + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text << '\n';
  }
  Cores near(const std::string& address) const { return cores_near(address, directory_.path()); }

 private:
  test::TemporaryDirectory directory_;
};

TEST_F(NearGpu, AreThoseOfItsNumaNode) {
  write("/bus/pci/devices/0000:3b:00.0/numa_node", "1");
  write("/devices/system/node/node0/cpulist", "0-3,8-11");
  write("/devices/system/node/node1/cpulist", "4-7,12,14-15");

  EXPECT_EQ(near("0000:3b:00.0"), (Cores{4, 5, 6, 7, 12, 14, 15}));
}

TEST_F(NearGpu, AreUnknownWhereTheSystemDoesNotSay) {
  write("/bus/pci/devices/0000:3b:00.0/numa_node", "-1");
  write("/bus/pci/devices/0000:5e:00.0/numa_node", "7");
  write("/bus/pci/devices/0000:86:00.0/numa_node", "0");
  write("/devices/system/node/node0/cpulist", "0-x");

  EXPECT_EQ(near("0000:3b:00.0"), Cores{});
  EXPECT_EQ(near("0000:5e:00.0"), Cores{});
  EXPECT_EQ(near("0000:86:00.0"), Cores{});
  EXPECT_EQ(near("0000:af:00.0"), Cores{});
  EXPECT_EQ(near(""), Cores{});
}

TEST(CoresOfRank, AreSharedByRanksWhoseGpusHangOnOneNode) {
  const Cores all{0, 1, 2, 3, 4, 5, 6, 7}, low{0, 1, 2, 3}, high{4, 5, 6, 7};
  const std::vector<Cores> near{low, low, high, {}};

  EXPECT_EQ(cores_of_rank(all, near, 0, false), (Cores{0, 1}));
  EXPECT_EQ(cores_of_rank(all, near, 1, false), (Cores{2, 3}));
  EXPECT_EQ(cores_of_rank(all, near, 2, false), high);
  EXPECT_EQ(cores_of_rank(all, near, 3, false), Cores{});
}

TEST(CoresOfRank, KeepToThoseTheLauncherGave) {
  const std::vector<Cores> near{{0, 1, 2, 3}, {0, 1, 2, 3}};

  EXPECT_EQ(cores_of_rank({2, 3, 4}, near, 1, true), (Cores{2, 3}));
  EXPECT_EQ(cores_of_rank({6, 7}, near, 0, true), Cores{});
}

TEST(CoresOfRank, AreNoneForARankTooMany) {
  const std::vector<Cores> near{{0}, {0}};

  EXPECT_EQ(
      cores_of_rank({0, 1}, near, 0, false).size() + cores_of_rank({0, 1}, near, 1, false).size(),
      1u);
}

}  // namespace
}  // namespace lockstep
