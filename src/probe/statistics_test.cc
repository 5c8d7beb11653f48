#include "probe/statistics.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(Statistics, Summary) {
  const std::vector<double> v = {4, 1, 3, 2};
  const Summary s = summarize(v);
  EXPECT_EQ(s.count, 4);
  EXPECT_DOUBLE_EQ(s.median, 2.5);
  EXPECT_DOUBLE_EQ(s.mean, 2.5);
  EXPECT_DOUBLE_EQ(s.min, 1);
  EXPECT_DOUBLE_EQ(s.max, 4);
  EXPECT_NEAR(s.stddev, 1.2909944487, 1e-9);
  EXPECT_EQ(summarize({}).count, 0);
}

TEST(Statistics, QuantileInterpolates) {
  const std::vector<double> v = {10, 20, 30, 40, 50};
  EXPECT_DOUBLE_EQ(quantile(v, 0), 10);
  EXPECT_DOUBLE_EQ(quantile(v, 0.25), 20);
  EXPECT_DOUBLE_EQ(quantile(v, 0.9), 46);
  EXPECT_DOUBLE_EQ(quantile(v, 1), 50);
  EXPECT_DOUBLE_EQ(quantile({}, 0.5), 0);
}

// Two samples of five that do not overlap: 2 of the C(10, 5) = 252 orders are that extreme.
TEST(Statistics, MannWhitneyExact) {
  const std::vector<double> low = {1, 2, 3, 4, 5}, high = {6, 7, 8, 9, 10};
  EXPECT_NEAR(mann_whitney(low, high).p_value, 2.0 / 252, 1e-12);
  EXPECT_NEAR(mann_whitney(high, low).p_value, 2.0 / 252, 1e-12);
  EXPECT_DOUBLE_EQ(mann_whitney(low, high).statistic, 0);
  EXPECT_DOUBLE_EQ(mann_whitney(high, low).statistic, 25);
}

// Mann and Whitney's table for m = n = 3: P(U <= 1) = 2 / 20.
TEST(Statistics, MannWhitneyTable) {
  const std::vector<double> a = {1, 2, 4}, b = {3, 5, 6};
  EXPECT_DOUBLE_EQ(mann_whitney(a, b).statistic, 1);
  EXPECT_NEAR(mann_whitney(a, b).p_value, 0.2, 1e-12);
}

TEST(Statistics, MannWhitneyTiesAndEmpty) {
  const std::vector<double> same = {7, 7, 7};
  EXPECT_DOUBLE_EQ(mann_whitney(same, same).p_value, 1);
  EXPECT_DOUBLE_EQ(mann_whitney(same, {}).p_value, 1);
  const std::vector<double> a = {1, 2, 2, 3}, b = {2, 4, 5, 6};
  const double p = mann_whitney(a, b).p_value;
  EXPECT_GT(p, 0.05);
  EXPECT_LT(p, 0.2);
}

// The classical critical values of Student's t.
TEST(Statistics, StudentTails) {
  EXPECT_NEAR(student_two_sided(2.228138852, 10), 0.05, 1e-8);
  EXPECT_NEAR(student_two_sided(12.70620474, 1), 0.05, 1e-8);
  EXPECT_NEAR(student_two_sided(0, 5), 1, 1e-12);
  EXPECT_NEAR(student_two_sided(1.959963985, 1e7), 0.05, 1e-6);
}

// Welch with equal sizes and variances is Student's test: means 3 and 5, variance 2.5, n 5: t = -2, df 8.
TEST(Statistics, Welch) {
  const std::vector<double> a = {1, 2, 3, 4, 5}, b = {3, 4, 5, 6, 7};
  const TestResult r = welch(a, b);
  EXPECT_NEAR(r.statistic, -2, 1e-12);
  EXPECT_NEAR(r.p_value, 0.0805162, 1e-6);
  EXPECT_DOUBLE_EQ(welch(a, std::vector<double>{1}).p_value, 1);
}

}  // namespace
}  // namespace tessera
