#include "planner/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera {
namespace {

struct Axis {
  bool log = false;
  double low = 0, high = 1;  // data range shown
  double from = 0, to = 1;   // pixels
  std::vector<double> ticks;

  double at(double value) const {
    const double t =
        log ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low)) : (value - low) / (high - low);
    return from + std::clamp(t, -0.02, 1.02) * (to - from);
  }
};

double nice_step(double span, int wanted) {
  const double raw = span / wanted, base = std::pow(10, std::floor(std::log10(raw)));
  for (const double m : {1.0, 2.0, 5.0, 10.0}) {
    if (m * base >= raw) return m * base;
  }
  return 10 * base;
}

void log_ticks(Axis* axis) {
  const double decades = std::log10(axis->high / axis->low);
  const int first = static_cast<int>(std::floor(std::log10(axis->low)));
  const int last = static_cast<int>(std::ceil(std::log10(axis->high)));
  for (int e = first; e <= last; ++e) {
    for (const double m : {1.0, 2.0, 5.0}) {
      const double tick = m * std::pow(10, e);
      const bool wanted = m == 1 || decades < 1.6 || (decades < 2.6 && m == 2);
      if (wanted && tick >= axis->low * 0.999 && tick <= axis->high * 1.001) axis->ticks.push_back(tick);
    }
  }
}

Axis make_axis(bool log, double low, double high, double from, double to, int wanted) {
  Axis axis{log, low, high, from, to, {}};
  if (!(low <= high)) axis.low = log ? 1 : 0, axis.high = 10;
  if (log) {
    axis.low = std::max(axis.low, 1e-12) / 1.15;
    axis.high = std::max(axis.high * 1.15, axis.low * 2);
    log_ticks(&axis);
    return axis;
  }
  axis.low = std::min(0.0, axis.low);
  if (axis.high <= axis.low) axis.high = axis.low + 1;
  const double step = nice_step(axis.high - axis.low, wanted);
  axis.high = std::ceil(axis.high / step - 1e-9) * step;
  for (double t = std::ceil(axis.low / step) * step; t <= axis.high * (1 + 1e-9); t += step) axis.ticks.push_back(t);
  return axis;
}

std::string tick_text(double v) {
  const double a = std::abs(v);
  if (v == 0) return "0";
  if (a >= 1e12) return fmt::format("{:.3g}T", v / 1e12);
  if (a >= 1e9) return fmt::format("{:.3g}G", v / 1e9);
  if (a >= 1e6) return fmt::format("{:.3g}M", v / 1e6);
  if (a >= 1e4) return fmt::format("{:.3g}k", v / 1e3);
  return fmt::format("{:.4g}", v);
}

std::string text(double x, double y, std::string_view anchor, std::string_view css, std::string_view content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>", x, y, anchor, css,
                     escape_html(content));
}

std::string open_figure(const std::string& title, const std::string& note, int width, int height) {
  std::string html = "<figure><figcaption><b>" + escape_html(title) + "</b>";
  if (!note.empty()) html += "<span>" + escape_html(note) + "</span>";
  return html + fmt::format("</figcaption><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", width, height,
                            escape_html(title));
}

// A row of keys under the title; returns the height used.
double legend(const std::vector<std::tuple<int, std::string, bool>>& entries, double left, double width,
              std::string* svg) {
  double x = left, y = 14;
  for (const auto& [color, name, hollow] : entries) {
    const double needed = 22 + 6.6 * static_cast<double>(name.size()) + 14;
    if (x + needed > width && x > left) {
      x = left;
      y += 18;
    }
    *svg +=
        hollow ? fmt::format(
                     "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"none\" stroke=\"var(--c{})\" "
                     "stroke-width=\"1.8\"/>",
                     x + 6, y - 4, color)
               : fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"12\" height=\"9\" rx=\"2\" fill=\"var(--c{})\"/>",
                             x, y - 9, color);
    *svg += text(x + 18, y, "start", "key", name);
    x += needed;
  }
  return entries.empty() ? 0 : y + 8;
}

void frame(const Axis& x, const Axis& y, const XyChart& chart, std::string* svg) {
  for (const double t : y.ticks) {
    *svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" class=\"grid\"/>", x.from, x.to,
                        y.at(t), y.at(t));
    *svg += text(x.from - 7, y.at(t) + 4, "end", "tick", tick_text(t));
  }
  for (const double t : x.ticks) {
    *svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" class=\"axis\"/>", x.at(t),
                        x.at(t), y.from, y.from + 4);
    *svg += text(x.at(t), y.from + 18, "middle", "tick", tick_text(t));
  }
  *svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" class=\"axis\"/>", x.from, x.to,
                      y.from, y.from);
  *svg += text((x.from + x.to) / 2, y.from + 38, "middle", "label", chart.x_label);
  *svg += fmt::format(
      "<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\" class=\"label\">{}</text>",
      (y.from + y.to) / 2, escape_html(chart.y_label));
}

void draw_series(const ChartSeries& s, const Axis& x, const Axis& y, std::string* svg) {
  const auto drawable = [&](const ChartPoint& p) {
    return std::isfinite(p.x) && std::isfinite(p.y) && (!x.log || p.x > 0) && (!y.log || p.y > 0);
  };
  if (s.style != SeriesStyle::kPoints) {
    std::string path;
    for (const ChartPoint& p : s.points) {
      if (drawable(p)) path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x.at(p.x), y.at(p.y));
    }
    *svg += fmt::format(
        "<path d=\"{}\" fill=\"none\" stroke=\"var(--c{})\" stroke-width=\"2\" stroke-linejoin=\"round\"{}/>", path,
        s.color, s.hollow ? " stroke-dasharray=\"5 4\"" : "");
  }
  for (const ChartPoint& p : s.points) {
    if (!drawable(p)) continue;
    if (s.style != SeriesStyle::kLine) {
      if (s.small) {
        *svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2\" fill=\"var(--c{})\" opacity=\".7\"/>",
                            x.at(p.x), y.at(p.y), s.color);
        continue;
      }
      const std::string fill = s.hollow ? "var(--card)" : fmt::format("var(--c{})", s.color);
      *svg += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\" stroke=\"var(--c{})\" "
          "stroke-width=\"1.8\"><title>{}</title></circle>",
          x.at(p.x), y.at(p.y), fill, s.color, escape_html(p.label));
    }
    if (p.show_label) {
      const bool right = x.at(p.x) < x.from + 0.75 * (x.to - x.from);
      *svg += text(x.at(p.x) + (right ? 8 : -8), y.at(p.y) - 7, right ? "start" : "end", "mark", p.label);
    }
  }
}

}  // namespace

std::string escape_html(std::string_view in) {
  std::string out;
  out.reserve(in.size());
  for (const char c : in) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string render(const XyChart& chart) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double x_low = kInfinity, x_high = -kInfinity, y_low = kInfinity, y_high = -kInfinity;
  std::vector<std::tuple<int, std::string, bool>> keys;
  for (const ChartSeries& s : chart.series) {
    if (!s.name.empty()) keys.emplace_back(s.color, s.name, s.hollow);
    for (const ChartPoint& p : s.points) {
      if (!std::isfinite(p.x) || !std::isfinite(p.y) || (chart.log_x && p.x <= 0) || (chart.log_y && p.y <= 0))
        continue;
      x_low = std::min(x_low, p.x), x_high = std::max(x_high, p.x);
      y_low = std::min(y_low, p.y), y_high = std::max(y_high, p.y);
    }
  }
  std::string svg = open_figure(chart.title, chart.note, chart.width, chart.height);
  const double used = legend(keys, 56, chart.width, &svg);
  const Axis x = make_axis(chart.log_x, x_low, x_high, 62, chart.width - 18, 8);
  const Axis y = make_axis(chart.log_y, y_low, y_high, chart.height - 48, used + 12, 6);
  frame(x, y, chart, &svg);
  for (const ChartSeries& s : chart.series) draw_series(s, x, y, &svg);
  return svg + "</svg></figure>\n";
}

std::string render(const BarChart& chart) {
  constexpr double kRow = 30, kLeft = 168, kRight = 92;
  std::vector<std::tuple<int, std::string, bool>> keys;
  for (const auto& [color, name] : chart.legend) keys.emplace_back(color, name, false);
  std::string key_svg;
  const double top = legend(keys, 8, chart.width, &key_svg) + 8;
  const int height = static_cast<int>(top + kRow * static_cast<double>(chart.rows.size()) + 46);
  std::string svg = open_figure(chart.title, chart.note, chart.width, height) + key_svg;
  double most = chart.limit;
  for (const BarRow& row : chart.rows) {
    double sum = 0;
    for (const BarSegment& s : row.segments) sum += s.value;
    most = std::max({most, sum, row.marker});
  }
  const double bottom = top + kRow * static_cast<double>(chart.rows.size());
  Axis x = make_axis(false, 0, most, kLeft, chart.width - kRight, 6);
  for (const double t : x.ticks) {
    svg += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" class=\"grid\"/>", x.at(t),
                       top, bottom);
    svg += text(x.at(t), bottom + 16, "middle", "tick", tick_text(t));
  }
  svg += text((x.from + x.to) / 2, bottom + 35, "middle", "label", chart.axis_label);
  double y = top;
  for (const BarRow& row : chart.rows) {
    svg += text(kLeft - 8, y + 19, "end", "row", row.label);
    double sum = 0;
    for (const BarSegment& s : row.segments) {
      const double from = x.at(sum), to = x.at(sum + s.value);
      sum += s.value;
      if (to - from < 0.2) continue;
      svg += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"18\" fill=\"var(--c{})\"><title>{}</title></rect>",
          from, y + 6, std::max(0.5, to - from - 1), s.color, escape_html(s.label));
    }
    if (row.marker > 0)
      svg += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" class=\"marker\"/>",
                         x.at(row.marker), y + 2, y + 28);
    svg += text(x.at(std::max(sum, row.marker)) + 7, y + 19, "start", "mark", row.end_label);
    y += kRow;
  }
  if (chart.limit > 0) {
    svg += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" class=\"limit\"/>",
                       x.at(chart.limit), top - 4, bottom);
    svg += text(x.at(chart.limit) + 4, bottom - 4, "start", "mark", chart.limit_label);
  }
  svg += "</svg>";
  if (!chart.marker_name.empty()) svg += "<p class=\"small\">Vertical tick: " + escape_html(chart.marker_name) + "</p>";
  return svg + "</figure>\n";
}

}  // namespace tessera
