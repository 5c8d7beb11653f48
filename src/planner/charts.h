// Charts as inline SVG, without scripts: lines or points on linear or logarithmic axes, and stacked horizontal bars.
// Colours are CSS variables of the page (html_page.h), so light and dark both work; every mark carries its values as a
// tooltip.
#ifndef TESSERA_PLANNER_CHARTS_H_
#define TESSERA_PLANNER_CHARTS_H_

#include <string>
#include <string_view>
#include <vector>

namespace tessera {

struct ChartPoint {
  double x = 0, y = 0;
  std::string label;  // tooltip; drawn beside the point too when `show_label`
  bool show_label = false;
};

enum class SeriesStyle { kLine, kPoints, kLineAndPoints };

struct ChartSeries {
  std::string name;
  int color = 0;  // 0 ... 7: --c0 ... --c7
  SeriesStyle style = SeriesStyle::kLine;
  bool small = false;   // many points in the background
  bool hollow = false;  // open circles and a dashed line: what was measured or is only a reference
  std::vector<ChartPoint> points;
};

struct XyChart {
  std::string title, note, x_label, y_label;
  bool log_x = false, log_y = false;
  std::vector<ChartSeries> series;
  int width = 620, height = 380;
};

struct BarSegment {
  int color = 0;
  double value = 0;
  std::string label;  // tooltip
};
struct BarRow {
  std::string label;
  std::vector<BarSegment> segments;
  std::string end_label;  // at the right of the bar
  double marker = 0;      // > 0: a tick across the bar, for a total with overlap or a measured value
};
struct BarChart {
  std::string title, note, axis_label;
  std::vector<std::pair<int, std::string>> legend;  // colour, name
  std::string marker_name;
  std::vector<BarRow> rows;
  double limit = 0;  // > 0: a vertical line
  std::string limit_label;
  int width = 620;
};

std::string render(const XyChart& chart);
std::string render(const BarChart& chart);

std::string escape_html(std::string_view text);

}  // namespace tessera

#endif  // TESSERA_PLANNER_CHARTS_H_
