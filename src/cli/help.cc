#include "cli/help.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>
#include <vector>

#include "cli/declaration.h"
#include "kernels/kernels.h"

namespace tessera {
namespace {

constexpr size_t kColumns = 100, kTextColumn = 32;

// Words of `text` in lines that end before kColumns; lines after the first begin at `indent`.
std::string wrap(const std::string& text, size_t indent) {
  std::istringstream words(text);
  std::string out, word;
  for (size_t column = indent; words >> word;) {
    if (column > indent && column + 1 + word.size() > kColumns) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

std::string row(std::string left, const std::string& right) {
  left = "  " + left;
  if (left.size() + 2 > kTextColumn) left += "\n";
  const size_t line = left.back() == '\n' ? 0 : left.size();
  return left + std::string(kTextColumn - line, ' ') + wrap(right, kTextColumn) + "\n";
}

std::string flag_row(const Flag& flag) {
  std::string left;
  for (const std::string& name : flag.names) left += (left.empty() ? "" : ", ") + name;
  if (flag.names.empty()) {
    left = flag.position;
  } else if (flag.kind != ValueKind::kNone) {
    left += " " + flag.placeholder;
  }
  std::string right = flag.option->get_description();
  std::vector<std::string> facts;
  if (!flag.choices.empty()) facts.push_back(fmt::format("{}", fmt::join(flag.choices, ", ")));
  if (flag.option->get_required()) facts.push_back("required");
  if (!flag.option->get_default_str().empty()) facts.push_back("default: " + flag.option->get_default_str());
  if (flag.repeatable && right.find("repeatable") == std::string::npos) facts.push_back("repeatable");
  if (!facts.empty()) right += fmt::format(" ({})", fmt::join(facts, "; "));
  if (!flag.environment.empty()) right += " [" + flag.environment + "]";
  return row(left, right);
}

std::string usage(CLI::App& verb, const std::vector<Flag>& flags) {
  std::string line = "Usage: " + full_name(verb);
  std::string names;
  for (CLI::App* child : verbs_of(verb)) names += (names.empty() ? "" : "|") + child->get_name();
  if (verb.get_parent() == nullptr) return line + " VERB [flags]\n";
  if (!names.empty()) line += verb.get_require_subcommand_min() > 0 ? " " + names : " [" + names + "]";
  for (const Flag& flag : flags) {
    if (!flag.position.empty()) line += flag.option->get_required() ? " " + flag.position : " [" + flag.position + "]";
  }
  return line + " [flags]\n";
}

// Paragraphs are wrapped; indented lines are examples and stay.
std::string footer(const CLI::App& verb) {
  std::istringstream lines(verb.get_footer());
  std::string text;
  for (std::string line; std::getline(lines, line);) text += (line.starts_with(' ') ? line : wrap(line, 0)) + "\n";
  return text.empty() ? "" : "\n" + text;
}

const char* compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace

std::string help_page(CLI::App& verb) {
  const std::vector<Flag> flags = flags_of(verb);
  const bool top = verb.get_parent() == nullptr;
  std::string page = full_name(verb) + ": " + verb.get_description() + "\n\n" + usage(verb, flags);
  if (const auto children = verbs_of(verb); !children.empty()) {
    page += "\nVerbs:\n";
    for (const CLI::App* child : children) page += row(child->get_name(), child->get_description());
    if (top) page += row("help VERB", "Everything about a verb; the same as `tessera VERB --help`");
  }
  std::vector<std::string> headings;
  for (const Flag& flag : flags) {
    if (std::ranges::find(headings, flag.heading) == headings.end()) headings.push_back(flag.heading);
  }
  for (const std::string& heading : headings) {
    page += "\n" + heading + ":\n";
    for (const Flag& flag : flags) {
      if (flag.heading == heading) page += flag_row(flag);
    }
  }
  page += footer(verb);
  if (!flags.empty() && !top) {
    page += "\n" +
            wrap(
                "A flag can also be set by the environment variable in [brackets]; the command line wins, and there "
                "the last "
                "one. Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted.",
                0) +
            "\n";
  }
  return page;
}

std::string all_help_pages(CLI::App& app) {
  std::string pages = help_page(app);
  for (CLI::App* verb : verbs_of(app)) pages += "\n" + std::string(kColumns, '-') + "\n" + all_help_pages(*verb);
  return pages;
}

std::string version_text() {
#ifdef NDEBUG
  const char* build = "release";
#else
  const char* build = "debug";
#endif
  const std::vector<KernelSlot> slots = kernel_slots(kernels());
  std::string layers;
  for (const KernelLayer& layer : kernel_layers()) {
    const auto used =
        std::ranges::any_of(slots, [&](const KernelSlot& slot) { return std::string_view(slot.layer) == layer.name; });
    if (used) layers += (layers.empty() ? "" : ", ") + std::string(layer.name);
  }
  return fmt::format("tessera {} ({} build, {})\nkernels: {}", TESSERA_VERSION, build, compiler(), layers);
}

}  // namespace tessera
