// Statistics of timing samples: summaries, and two tests of "is B different from A". Timings on shared machines are
// skewed and often have two modes, so the rank test (Mann-Whitney) decides by default; Welch's t-test is there for
// those who expect it.
#ifndef TESSERA_PROBE_STATISTICS_H_
#define TESSERA_PROBE_STATISTICS_H_

#include <span>
#include <vector>

namespace tessera {

struct Summary {
  int count = 0;
  double median = 0, min = 0, max = 0, mean = 0;
  double stddev = 0;  // of the sample (n - 1); 0 when count < 2
};

Summary summarize(std::span<const double> samples);

// Linear interpolation between order statistics; fraction in [0, 1]. 0 for no samples.
double quantile(std::span<const double> samples, double fraction);

struct TestResult {
  double statistic = 0;  // U of the first sample, or t
  double p_value = 1;    // two-sided
};

// Mann & Whitney 1947. Exact null distribution when there are no ties and both samples have at most 50 values; else
// the normal approximation with tie and continuity corrections. p = 1 when a sample is empty or all values are equal.
TestResult mann_whitney(std::span<const double> a, std::span<const double> b);

// Welch 1947: means of samples with different variances. p = 1 when a sample has fewer than 2 values.
TestResult welch(std::span<const double> a, std::span<const double> b);

// Two-sided tail probability of Student's t with `df` degrees of freedom.
double student_two_sided(double t, double df);

}  // namespace tessera

#endif  // TESSERA_PROBE_STATISTICS_H_
