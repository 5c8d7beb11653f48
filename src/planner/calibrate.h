// Calibration: the constants of a hardware description fitted to measured times by bounded least squares, and the error
// that such a fit makes on points it has not seen.
#ifndef TESSERA_PLANNER_CALIBRATE_H_
#define TESSERA_PLANNER_CALIBRATE_H_

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "planner/measured.h"

namespace tessera {

// Minimises sum r_i(x)^2 with low <= x <= high: Levenberg-Marquardt with numeric derivatives, steps projected into
// the box. `residuals` fills as many values on every call.
struct LeastSquaresProblem {
  std::vector<double> start, low, high;
  std::function<void(std::span<const double> x, std::vector<double>* residuals)> residuals;
};
std::vector<double> least_squares(const LeastSquaresProblem& problem, int max_steps = 200);

// Which constants may move; the others keep the description's value.
enum class FittedSet {
  kAccelerators,  // e_c, e_w, e_n, e_g, t_0, t_h, p (attention and KV tied to e_c, e_w)
  kOneMachine,    // e_c, e_w, attention, KV, t_0, t_s, p: no network
  kProbed,        // the same with e_c and e_w of the measured kernel rates, and t_e for t_s
};

struct Residual {
  const MeasuredPoint* point = nullptr;
  double predicted = 0;
  double relative = 0;  // predicted / measured - 1
};

// Relative errors of the description's own constants.
std::vector<Residual> residuals(const HardwareSpec& hardware, std::span<const MeasuredPoint> points);
double rms(std::span<const Residual> residuals);
// Quantile of |relative|; 0.5 is the median.
double quantile_error(std::span<const Residual> residuals, double q);

// Returns the description with fitted constants and a filled CalibrationRecord. For its leave-one-out errors a model at a
// time is left out where there are at least three (not kAccelerators), else a point; of more than 60 points every 60th
// together, so that the cost stays bounded.
Result<HardwareSpec> calibrate(HardwareSpec hardware, std::span<const MeasuredPoint> points, FittedSet set);

}  // namespace tessera

#endif  // TESSERA_PLANNER_CALIBRATE_H_
