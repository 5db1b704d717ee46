#include "core/tensor.hpp"

#include <cstdint>

#include <gtest/gtest.h>

#include "tests/support/tolerance.hpp"

namespace lockstep {
namespace {

std::vector<float> values_of(const Tensor& x) {
  std::vector<float> values;
  for (index_t i = 0; i < x.count(); ++i)
    values.push_back(static_cast<float>(test::value_at(x, i)));
  return values;
}

TEST(Shape, CountsAndPrints) {
  const Shape shape{2, 3, 4};

  EXPECT_EQ(shape.count(), 24);
  EXPECT_EQ(shape.last(), 4);
  EXPECT_EQ(shape.with(1, 5), (Shape{2, 5, 4}));
  EXPECT_EQ(shape.to_string(), "(2, 3, 4)");
  EXPECT_EQ(Shape{}.count(), 1);
  EXPECT_EQ((Shape{3, 0}).count(), 0);
}

TEST(Tensor, CopiesOfTheHandleShareTheData) {
  Tensor x = Tensor::zeros({2, 2}, DType::f32);
  Tensor y = x;

  y.data<float>()[3] = 7;

  EXPECT_EQ(x.data<float>()[3], 7);
  EXPECT_FALSE(Tensor{}.defined());
}

TEST(Tensor, ColumnRangeIsAViewWithTheStrideOfItsMatrix) {
  Tensor x = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}, {2, 4});

  Tensor view = x.column_range(1, 2);

  EXPECT_EQ(view.row_stride(), 4);
  EXPECT_FALSE(view.contiguous());
  EXPECT_EQ(values_of(view), (std::vector<float>{1, 2, 5, 6}));
  EXPECT_EQ(values_of(view.clone()), (std::vector<float>{1, 2, 5, 6}));
  EXPECT_TRUE(view.clone().contiguous());
}

TEST(Tensor, FillAndCopyLeaveTheOtherColumnsAlone) {
  Tensor x = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}, {2, 4});

  x.column_range(0, 2).fill_zero();
  x.column_range(2, 2).copy_from(Tensor::from(std::vector<float>{8, 9, 10, 11}, {2, 2}));

  EXPECT_EQ(values_of(x), (std::vector<float>{0, 0, 8, 9, 0, 0, 10, 11}));
}

TEST(Tensor, RangeTakesRowsAndKeepsTheMemoryAlive) {
  Tensor rows;
  {
    const Tensor x = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5}, {3, 2});
    rows = x.range(1, 2);
  }

  EXPECT_EQ(rows.shape(), (Shape{2, 2}));
  EXPECT_EQ(values_of(rows), (std::vector<float>{2, 3, 4, 5}));
  EXPECT_EQ(values_of(rows.reshape({4}).range(3, 1)), (std::vector<float>{5}));
}

TEST(Tensor, MatrixViewFlattensLeadingDimensions) {
  const Tensor x = Tensor::zeros({2, 3, 4}, DType::f64);

  const Tensor matrix = x.column_range(0, 2).as_matrix();

  EXPECT_EQ(matrix.shape(), (Shape{6, 2}));
  EXPECT_EQ(matrix.row_stride(), 4);
}

TEST(Device, RecyclesMemoryOfEqualSize) {
  const void* first = Tensor::empty({1000}, DType::f32).raw();
  const std::size_t system = memory_use({}).num_system, in_use = memory_use({}).in_use;

  const Tensor again = Tensor::empty({1000}, DType::f32);

  EXPECT_EQ(again.raw(), first);
  EXPECT_EQ(memory_use({}).num_system, system);
  EXPECT_GE(memory_use({}).in_use, in_use + 4000);
}

TEST(Device, AlignsToCacheLines) {
  for (index_t count : {0, 1, 17, 5000, 600000}) {
    const Tensor x = Tensor::empty({count}, DType::f32);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.raw()) % 64, 0u) << count;
  }
}

}  // namespace
}  // namespace lockstep
