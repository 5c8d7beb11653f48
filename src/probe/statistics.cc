#include "probe/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

namespace tessera {
namespace {

std::vector<double> sorted(std::span<const double> samples) {
  std::vector<double> v(samples.begin(), samples.end());
  std::sort(v.begin(), v.end());
  return v;
}

double quantile_of_sorted(const std::vector<double>& v, double fraction) {
  if (v.empty()) return 0;
  const double at = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(v.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, v.size() - 1);
  return v[low] + (at - static_cast<double>(low)) * (v[high] - v[low]);
}

// P(U <= u) for sample sizes m, n by counting: ways[i][s] = number of ways that i values of the first sample, placed among
// the values so far, have rank-sum excess s. Doubles hold the counts exactly enough (relative error 1e-16 per add).
double exact_lower_tail(int m, int n, int u) {
  std::vector<std::vector<double>> ways(m + 1, std::vector<double>(m * n + 1, 0.0));
  ways[0][0] = 1;
  for (int j = 1; j <= m + n; ++j) {
    // The j-th smallest value belongs to the first sample as its i-th: it beats j - i values of the second.
    for (int i = std::min(j, m); i >= 1; --i) {
      const int beats = j - i;
      if (beats > n) continue;
      for (int s = m * n; s >= beats; --s) ways[i][s] += ways[i - 1][s - beats];
    }
  }
  double below = 0, all = 0;
  for (int s = 0; s <= m * n; ++s) {
    all += ways[m][s];
    if (s <= u) below += ways[m][s];
  }
  return below / all;
}

// Continued fraction of the incomplete beta function (Lentz), Press et al., Numerical Recipes 6.4.
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double h = d;
  for (int m = 1; m <= 300; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 + even * d;
    c = 1 + even / c;
    d = 1 / (std::abs(d) < kTiny ? kTiny : d);
    if (std::abs(c) < kTiny) c = kTiny;
    h *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + odd * d;
    c = 1 + odd / c;
    d = 1 / (std::abs(d) < kTiny ? kTiny : d);
    if (std::abs(c) < kTiny) c = kTiny;
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-14) break;
  }
  return h;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

struct RankSum {
  double u = 0;          // of the first sample
  double tie_term = 0;   // sum of t^3 - t over groups of equal values
};

RankSum rank_sum(std::span<const double> a, std::span<const double> b) {
  std::vector<std::pair<double, bool>> all;  // value, is of a
  for (const double v : a) all.emplace_back(v, true);
  for (const double v : b) all.emplace_back(v, false);
  std::sort(all.begin(), all.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  RankSum result;
  double ranks = 0;
  for (size_t i = 0; i < all.size();) {
    size_t j = i;
    while (j < all.size() && all[j].first == all[i].first) ++j;
    const double rank = 0.5 * static_cast<double>(i + 1 + j);
    const auto t = static_cast<double>(j - i);
    result.tie_term += t * t * t - t;
    for (size_t k = i; k < j; ++k) ranks += all[k].second ? rank : 0;
    i = j;
  }
  const auto m = static_cast<double>(a.size());
  result.u = ranks - m * (m + 1) / 2;
  return result;
}

}  // namespace

Summary summarize(std::span<const double> samples) {
  Summary s;
  s.count = static_cast<int>(samples.size());
  if (samples.empty()) return s;
  const std::vector<double> v = sorted(samples);
  s.median = quantile_of_sorted(v, 0.5);
  s.min = v.front();
  s.max = v.back();
  s.mean = std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
  if (v.size() > 1) {
    double squares = 0;
    for (const double x : v) squares += (x - s.mean) * (x - s.mean);
    s.stddev = std::sqrt(squares / static_cast<double>(v.size() - 1));
  }
  return s;
}

double quantile(std::span<const double> samples, double fraction) {
  return quantile_of_sorted(sorted(samples), fraction);
}

TestResult mann_whitney(std::span<const double> a, std::span<const double> b) {
  if (a.empty() || b.empty()) return {};
  const RankSum ranks = rank_sum(a, b);
  const auto m = static_cast<double>(a.size()), n = static_cast<double>(b.size());
  const double low = std::min(ranks.u, m * n - ranks.u);
  if (ranks.tie_term == 0 && a.size() <= 50 && b.size() <= 50) {
    const double tail = exact_lower_tail(static_cast<int>(m), static_cast<int>(n), static_cast<int>(low));
    return {ranks.u, std::min(1.0, 2 * tail)};
  }
  const double total = m + n;
  const double variance = m * n / 12 * (total + 1 - ranks.tie_term / (total * (total - 1)));
  if (variance <= 0) return {ranks.u, 1};
  const double z = std::max(0.0, m * n / 2 - low - 0.5) / std::sqrt(variance);
  return {ranks.u, std::min(1.0, std::erfc(z / std::sqrt(2.0)))};
}

double student_two_sided(double t, double df) { return incomplete_beta(df / 2, 0.5, df / (df + t * t)); }

TestResult welch(std::span<const double> a, std::span<const double> b) {
  if (a.size() < 2 || b.size() < 2) return {};
  const Summary sa = summarize(a), sb = summarize(b);
  const double va = sa.stddev * sa.stddev / sa.count, vb = sb.stddev * sb.stddev / sb.count;
  if (va + vb <= 0) return {0, sa.mean == sb.mean ? 1.0 : 0.0};
  const double t = (sa.mean - sb.mean) / std::sqrt(va + vb);
  const double df = (va + vb) * (va + vb) / (va * va / (sa.count - 1) + vb * vb / (sb.count - 1));
  return {t, student_two_sided(t, df)};
}

}  // namespace tessera
