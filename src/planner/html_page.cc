#include "planner/html_page.h"

#include "planner/charts.h"

namespace tessera {
namespace {

// c0 compute, c1 weights, c2 KV, c3 wire, c4 attention, c5 hops and fixed, c6 scratch, c7 grey.
constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dfe4ea;--page:#f6f7f9;--card:#fff;--accent:#1f5fbf;
--c0:#2f6fde;--c1:#e08a2e;--c2:#2a9d75;--c3:#c8457a;--c4:#7b61d9;--c5:#8d99a8;--c6:#3aaed8;--c7:#b7bfca}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#a0abb9;--line:#333c48;--page:#14181e;--card:#1c222a;--accent:#7fb0ff;
--c0:#5b93f5;--c1:#eda04f;--c2:#43bd92;--c3:#e36a9a;--c4:#a08bf0;--c5:#8f9bab;--c6:#5cc6ea;--c7:#5a6675}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1320px;margin:0 auto;padding:28px 22px 60px}h1{font-size:25px;margin:0 0 4px}h2{font-size:18px;margin:34px 0 10px}
.sub{color:var(--soft);margin:0 0 16px}.lead{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--accent);border-radius:8px;padding:14px 18px;font-size:16px;margin:0 0 18px}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:0 0 18px}.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 16px;min-width:150px;flex:1}
.tile b{display:block;font-size:21px;font-weight:600}.tile span{color:var(--soft);font-size:13px;display:block}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:16px;align-items:start}
figure{background:var(--card);border:1px solid var(--line);border-radius:8px;margin:0;padding:14px 16px 8px}figcaption{margin:0 0 6px}figcaption span{display:block;color:var(--soft);font-size:13px}
svg{width:100%;height:auto;display:block}svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}
svg .tick,svg .label{fill:var(--soft)}svg .key,svg .mark,svg .row{fill:var(--ink)}svg .mark{font-size:11px}
.grid{stroke:var(--line);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}.marker{stroke:var(--ink);stroke-width:2.5}.limit{stroke:var(--c3);stroke-width:1.5;stroke-dasharray:5 4}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:8px}table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:6px 12px;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right}tr:last-child td{border-bottom:0}
.ask{display:flex;flex-wrap:wrap;gap:10px 14px;align-items:end;margin:0 0 16px}.ask label{display:flex;flex-direction:column;color:var(--soft);font-size:13px}
.ask input,.ask select,.ask button{font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--line);border-radius:6px;padding:5px 9px;max-width:100%}
.ask button{background:var(--accent);color:var(--card);border-color:var(--accent);cursor:pointer}.ask a{color:var(--accent);padding:5px 0}.wrong{border-left-color:var(--c3)}
.small{color:var(--soft);font-size:13px;margin:6px 0}.small li{margin:2px 0}
)css";

}  // namespace

std::string html_page(std::string_view title, std::string_view body) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>";
  html += escape_html(title);
  html += "</title><style>";
  html += kStyle;
  html += "</style></head><body><main>\n";
  html += body;
  return html + "</main></body></html>\n";
}

std::string html_tiles(const std::vector<Tile>& tiles) {
  std::string html = "<div class=\"tiles\">";
  for (const Tile& t : tiles) {
    html += "<div class=\"tile\"><span>" + escape_html(t.name) + "</span><b>" + escape_html(t.value) + "</b>";
    if (!t.note.empty()) html += "<span>" + escape_html(t.note) + "</span>";
    html += "</div>";
  }
  return html + "</div>\n";
}

std::string html_table(const std::vector<std::vector<std::string>>& rows, size_t first_number) {
  std::string html = "<div class=\"scroll\"><table>";
  for (size_t r = 0; r < rows.size(); ++r) {
    html += "<tr>";
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const char* tag = r == 0 ? "th" : "td";
      html += std::string("<") + tag + (c >= first_number ? " class=\"n\">" : ">") + escape_html(rows[r][c]) + "</" +
              tag + ">";
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

}  // namespace tessera
