#include "cli/console.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/file_map.h"
#include "formats/text.h"

namespace tessera {
namespace {

std::atomic<bool> g_interrupted{false};

void on_interrupt(int) {
  if (g_interrupted.exchange(true)) _exit(130);
}

constexpr int kBarWidth = 30;

size_t terminal_columns() {
  struct winsize size {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);  // no SA_RESTART: a read from the terminal ends
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);  // a closed pipe is seen when writing
}

bool interrupted() { return g_interrupted.load(std::memory_order_relaxed); }
Status not_interrupted() { return interrupted() ? Status(StatusCode::kCancelled, "interrupted") : Status(); }
void clear_interrupt() { g_interrupted = false; }

ProgressBar::ProgressBar(std::string title)
    : title_(std::move(title)), terminal_(isatty(STDERR_FILENO) != 0), begin_(std::chrono::steady_clock::now()), last_(begin_) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

bool ProgressBar::update(uint64_t done, uint64_t total, const std::string& note) {
  const auto now = std::chrono::steady_clock::now();
  if (terminal_ && now - last_ >= std::chrono::milliseconds(100)) {
    last_ = now;
    const double share = total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
    const double elapsed = std::chrono::duration<double>(now - begin_).count();
    const auto filled = static_cast<int>(share * kBarWidth);
    std::string bar(static_cast<size_t>(filled), '#');
    bar.resize(kBarWidth, '.');
    const double left = share > 0 ? elapsed / share - elapsed : 0;
    std::string line = fmt::format("{} [{}] {:3.0f} %  {:.0f} s left  {}", title_, bar, 100 * share, left, printable(note));
    line.resize(std::min(line.size(), terminal_columns() - 1));  // a line that wraps could not be redrawn
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    std::fflush(stderr);
    drawn_ = true;
  }
  return !interrupted();
}

uint64_t peak_memory_bytes() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

std::string human_bytes(double bytes) {
  const char* unit = "B";
  for (const char* larger : {"kB", "MB", "GB", "TB"}) {
    if (bytes < 1000) break;
    bytes /= 1000;
    unit = larger;
  }
  return fmt::format("{:.{}f} {}", bytes, *unit == 'B' ? 0 : 2, unit);
}

Result<std::string> read_text_file(const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::error_code error;
  if (std::filesystem::is_fifo(path, error)) {  // -f <(command)
    std::ifstream pipe(path);
    return std::string(std::istreambuf_iterator<char>(pipe), {});
  }
  TESSERA_ASSIGN_OR_RETURN(const auto file, FileMap::open(path));
  return std::string(reinterpret_cast<const char*>(file->bytes().data()), file->size());
}

std::string json_text(const nlohmann::ordered_json& json, int indent) {
  return printable_json(json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace tessera
