#include "planner/calibrate.h"

#include <algorithm>
#include <cmath>

namespace tessera {
namespace {

struct FittedConstant {
  double Constants::*field;
  double low, high, start;
};

std::span<const FittedConstant> fitted_constants(FittedSet set) {
  static constexpr FittedConstant kAccelerators[] = {
      {&Constants::compute_fraction, 0.3, 1, 0.8},
      {&Constants::bandwidth_fraction, 0.4, 1, 0.9},
      {&Constants::network_fraction, 0.2, 1, 0.7},
      {&Constants::gather_fraction, 0.2, 1, 0.9},
      {&Constants::layer_seconds, 0, 3e-4, 5e-5},
      {&Constants::hop_seconds, 0, 2e-5, 2e-6},
      {&Constants::overlap, 1, 8, 2},
  };
  static constexpr FittedConstant kOneMachine[] = {
      {&Constants::compute_fraction, 0.02, 1, 0.5},
      {&Constants::bandwidth_fraction, 0.05, 1, 0.7},
      {&Constants::attention_fraction, 0.01, 1, 0.2},
      {&Constants::kv_bandwidth_fraction, 0.02, 1, 0.5},
      {&Constants::layer_seconds, 0, 1e-3, 1e-5},
      {&Constants::step_seconds, 0, 1e-2, 1e-5},
      {&Constants::overlap, 1, 8, 2},
  };
  static constexpr FittedConstant kProbed[] = {
      {&Constants::kernel_compute_fraction, 0.2, 1.2, 0.9},
      {&Constants::kernel_bandwidth_fraction, 0.2, 1.2, 0.9},
      {&Constants::attention_fraction, 0.01, 1, 0.2},
      {&Constants::kv_bandwidth_fraction, 0.02, 1, 0.5},
      {&Constants::layer_seconds, 0, 1e-3, 1e-5},
      {&Constants::element_seconds, 0, 4e-9, 2e-10},
      {&Constants::overlap, 1, 8, 2},
  };
  if (set == FittedSet::kProbed) return kProbed;
  if (set == FittedSet::kAccelerators) return kAccelerators;
  return kOneMachine;
}

// Variables are scaled to [0, 1] so that one step size serves all.
Constants apply(const Constants& base, FittedSet set, std::span<const double> unit) {
  Constants c = base;
  const auto fields = fitted_constants(set);
  for (size_t i = 0; i < fields.size(); ++i)
    c.*fields[i].field = fields[i].low + unit[i] * (fields[i].high - fields[i].low);
  if (set == FittedSet::kAccelerators) {
    c.attention_fraction = c.compute_fraction;
    c.kv_bandwidth_fraction = c.bandwidth_fraction;
  }
  return c;
}

double relative_error(const HardwareSpec& hardware, const MeasuredPoint& p) {
  return predicted_seconds(hardware, p) / p.seconds - 1;
}

std::vector<double> fit(const HardwareSpec& hardware, std::span<const MeasuredPoint* const> points, FittedSet set,
                        std::vector<double> start) {
  LeastSquaresProblem problem;
  problem.start = std::move(start);
  problem.low.assign(problem.start.size(), 0);
  problem.high.assign(problem.start.size(), 1);
  problem.residuals = [&](std::span<const double> x, std::vector<double>* out) {
    HardwareSpec trial = hardware;
    trial.constants = apply(hardware.constants, set, x);
    out->clear();
    for (const MeasuredPoint* point : points) out->push_back(relative_error(trial, *point));
  };
  return least_squares(problem);
}

// Solves A x = b for a small positive definite A by elimination with pivoting; false when singular.
bool solve(std::vector<std::vector<double>> a, std::vector<double> b, std::vector<double>* x) {
  const size_t n = b.size();
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k + 1; i < n; ++i) pivot = std::abs(a[i][k]) > std::abs(a[pivot][k]) ? i : pivot;
    if (std::abs(a[pivot][k]) < 1e-300) return false;
    std::swap(a[k], a[pivot]);
    std::swap(b[k], b[pivot]);
    for (size_t i = k + 1; i < n; ++i) {
      const double factor = a[i][k] / a[k][k];
      for (size_t j = k; j < n; ++j) a[i][j] -= factor * a[k][j];
      b[i] -= factor * b[k];
    }
  }
  x->assign(n, 0);
  for (size_t k = n; k-- > 0;) {
    double sum = b[k];
    for (size_t j = k + 1; j < n; ++j) sum -= a[k][j] * (*x)[j];
    (*x)[k] = sum / a[k][k];
  }
  return true;
}

double sum_squares(const std::vector<double>& r) {
  double sum = 0;
  for (const double v : r) sum += v * v;
  return sum;
}

// Which points are left out together. Measurements of machines by models (bench): a model at a time, so that the error is
// that on a model nobody has measured; of one model (papers): a point, or every 60th.
std::vector<size_t> groups_of(std::span<const MeasuredPoint> points, FittedSet set) {
  std::vector<size_t> group(points.size());
  std::vector<std::string> names;
  for (const MeasuredPoint& p : points) {
    if (std::ranges::find(names, p.model.name) == names.end()) names.push_back(p.model.name);
  }
  const bool by_model = set != FittedSet::kAccelerators && names.size() >= 3;
  for (size_t i = 0; i < points.size(); ++i) {
    group[i] = by_model ? static_cast<size_t>(std::ranges::find(names, points[i].model.name) - names.begin()) : i % 60;
  }
  return group;
}

// Rows: derivative of every residual by x_j, one-sided, turned around at the upper bound.
std::vector<std::vector<double>> jacobian(const LeastSquaresProblem& p, std::vector<double> x,
                                          const std::vector<double>& r) {
  std::vector<std::vector<double>> columns(x.size());
  for (size_t j = 0; j < x.size(); ++j) {
    const double range = p.high[j] - p.low[j], kept = x[j];
    double step = 1e-5 * range;
    if (kept + step > p.high[j]) step = -step;
    x[j] = kept + step;
    p.residuals(x, &columns[j]);
    for (size_t i = 0; i < r.size(); ++i) columns[j][i] = (columns[j][i] - r[i]) / step;
    x[j] = kept;
  }
  return columns;
}

}  // namespace

std::vector<double> least_squares(const LeastSquaresProblem& problem, int max_steps) {
  std::vector<double> x = problem.start, r, trial_r;
  problem.residuals(x, &r);
  double best = sum_squares(r), damping = 1e-3;
  for (int step = 0; step < max_steps && damping < 1e12; ++step) {
    const auto columns = jacobian(problem, x, r);
    std::vector<size_t> free;  // variables at a bound that the gradient pushes outwards stay there
    for (size_t j = 0; j < x.size(); ++j) {
      double gradient = 0;
      for (size_t i = 0; i < r.size(); ++i) gradient += columns[j][i] * r[i];
      const bool held = (x[j] <= problem.low[j] && gradient > 0) || (x[j] >= problem.high[j] && gradient < 0);
      if (!held) free.push_back(j);
    }
    if (free.empty()) break;
    std::vector<std::vector<double>> normal(free.size(), std::vector<double>(free.size()));
    std::vector<double> right(free.size()), delta;
    for (size_t a = 0; a < free.size(); ++a) {
      for (size_t b = 0; b < free.size(); ++b) {
        for (size_t i = 0; i < r.size(); ++i) normal[a][b] += columns[free[a]][i] * columns[free[b]][i];
      }
      for (size_t i = 0; i < r.size(); ++i) right[a] -= columns[free[a]][i] * r[i];
      normal[a][a] += damping * (normal[a][a] + 1e-12);
    }
    if (!solve(normal, right, &delta)) break;
    std::vector<double> trial = x;
    for (size_t a = 0; a < free.size(); ++a)
      trial[free[a]] = std::clamp(trial[free[a]] + delta[a], problem.low[free[a]], problem.high[free[a]]);
    problem.residuals(trial, &trial_r);
    const double value = sum_squares(trial_r);
    if (value < best) {
      const bool small = best - value < 1e-12 * best;
      x = trial;
      r = trial_r;
      best = value;
      damping = std::max(damping / 5, 1e-9);
      if (small) break;
    } else {
      damping *= 4;
    }
  }
  return x;
}

std::vector<Residual> residuals(const HardwareSpec& hardware, std::span<const MeasuredPoint> points) {
  std::vector<Residual> list;
  for (const MeasuredPoint& point : points) {
    const double error = relative_error(hardware, point);
    list.push_back({&point, point.seconds * (1 + error), error});
  }
  return list;
}

double rms(std::span<const Residual> list) {
  double sum = 0;
  for (const Residual& r : list) sum += r.relative * r.relative;
  return list.empty() ? 0 : std::sqrt(sum / static_cast<double>(list.size()));
}

double quantile_error(std::span<const Residual> list, double q) {
  if (list.empty()) return 0;
  std::vector<double> errors;
  for (const Residual& r : list) errors.push_back(std::abs(r.relative));
  std::sort(errors.begin(), errors.end());
  const double at = q * static_cast<double>(errors.size() - 1);
  const size_t below = static_cast<size_t>(at), above = std::min(below + 1, errors.size() - 1);
  return errors[below] + (at - static_cast<double>(below)) * (errors[above] - errors[below]);
}

Result<HardwareSpec> calibrate(HardwareSpec hardware, std::span<const MeasuredPoint> points, FittedSet set) {
  const auto fields = fitted_constants(set);
  if (points.size() < fields.size() + 2)
    return invalid_argument("calibration: expected at least {} points, found {}", fields.size() + 2, points.size());
  std::vector<double> start;
  for (const FittedConstant& f : fields) start.push_back((f.start - f.low) / (f.high - f.low));
  std::vector<const MeasuredPoint*> all;
  for (const MeasuredPoint& point : points) all.push_back(&point);
  const std::vector<double> solution = fit(hardware, all, set, start);

  const std::vector<size_t> group_of = groups_of(points, set);
  const size_t groups = 1 + *std::max_element(group_of.begin(), group_of.end());
  std::vector<Residual> left_out;
  for (size_t group = 0; group < groups; ++group) {
    std::vector<const MeasuredPoint*> kept;
    for (size_t i = 0; i < all.size(); ++i) {
      if (group_of[i] != group) kept.push_back(all[i]);
    }
    HardwareSpec trial = hardware;
    trial.constants = apply(hardware.constants, set, fit(hardware, kept, set, solution));
    for (size_t i = 0; i < all.size(); ++i) {
      if (group_of[i] == group) left_out.push_back({all[i], 0, relative_error(trial, *all[i])});
    }
  }
  hardware.constants = apply(hardware.constants, set, solution);
  CalibrationRecord& record = hardware.calibration;
  record.points = static_cast<int64_t>(points.size());
  record.rms = rms(residuals(hardware, points));
  record.leave_one_out_rms = rms(left_out);
  record.leave_one_out_p50 = quantile_error(left_out, 0.5);
  record.leave_one_out_p90 = quantile_error(left_out, 0.9);
  record.leave_one_out_worst = quantile_error(left_out, 1);
  const auto params = [](const MeasuredPoint& p) { return total_params(p.model); };
  record.least_params = params(*std::ranges::min_element(points, {}, params));
  record.most_params = params(*std::ranges::max_element(points, {}, params));
  return hardware;
}

}  // namespace tessera
