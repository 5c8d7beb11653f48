// The frame of the planner's pages: one self-contained HTML file, styles inline, no scripts, nothing loaded.
#ifndef TESSERA_PLANNER_HTML_PAGE_H_
#define TESSERA_PLANNER_HTML_PAGE_H_

#include <string>
#include <string_view>
#include <vector>

namespace tessera {

std::string html_page(std::string_view title, std::string_view body);

struct Tile {
  std::string value, name, note;
};
std::string html_tiles(const std::vector<Tile>& tiles);

// First row is the head. Cells are escaped; columns from `first_number` on are aligned right.
std::string html_table(const std::vector<std::vector<std::string>>& rows, size_t first_number = 1);

}  // namespace tessera

#endif  // TESSERA_PLANNER_HTML_PAGE_H_
