#include "tokenizer/jinja/text_operations.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "tokenizer/utf8.h"

namespace tessera::jinja {
namespace {

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
  const utf8proc_category_t kind = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return c == 0x85 || kind == UTF8PROC_CATEGORY_ZS || kind == UTF8PROC_CATEGORY_ZL || kind == UTF8PROC_CATEGORY_ZP;
}

// Start of the character that ends before `end`.
size_t last_character(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && (static_cast<uint8_t>(text[begin]) & 0xc0) == 0x80) --begin;
  return decode_utf8(text, begin).bytes == end - begin ? begin : end - 1;
}

// Calls visit(begin, end) for each word.
template <class Visit>
void for_each_word(std::string_view bytes, Visit visit) {
  for (size_t i = 0; i < bytes.size();) {
    if (const size_t space = white_space_at(bytes, i); space > 0) {
      i += space;
      continue;
    }
    const size_t begin = i;
    while (i < bytes.size() && white_space_at(bytes, i) == 0) i += decode_utf8(bytes, i).bytes;
    visit(begin, i);
  }
}

std::vector<Text> split_white_space(Interpreter* in, const Text& text, int64_t max_splits, bool from_right, int line) {
  std::vector<std::pair<size_t, size_t>> words;
  const std::string& bytes = text.bytes();
  in->charge_bytes(bytes.size(), line);
  for_each_word(bytes, [&](size_t begin, size_t end) {
    in->charge_bytes(kValueBytes, line);
    words.emplace_back(begin, end);
  });
  const size_t limit = max_splits < 0 ? words.size() : static_cast<size_t>(max_splits) + 1;
  if (limit < words.size()) {
    if (from_right) {
      words[words.size() - limit].first = words.front().first;
      words.erase(words.begin(), words.end() - static_cast<ptrdiff_t>(limit));
    } else {
      words[limit - 1].second = bytes.size();
      words.resize(limit);
    }
  }
  std::vector<Text> parts;
  for (const auto& [begin, end] : words) parts.push_back(text.substr(begin, end - begin));
  return parts;
}

}  // namespace

size_t white_space_at(std::string_view text, size_t position) {
  const Utf8Char c = decode_utf8(text, position);
  return c.valid && is_white_space(c.code_point) ? c.bytes : 0;
}

Text strip(const Text& text, const Text* chars, bool left, bool right) {
  const std::string_view bytes = text.bytes();
  std::unordered_set<std::string_view> set;
  for (size_t i = 0; chars != nullptr && i < chars->size();) {
    const size_t size = decode_utf8(chars->bytes(), i).bytes;
    set.insert(std::string_view(chars->bytes()).substr(i, size));
    i += size;
  }
  const auto strippable = [&](std::string_view character) {
    return chars == nullptr ? white_space_at(character, 0) == character.size() : set.contains(character);
  };
  size_t begin = 0, end = bytes.size();
  while (left && begin < end) {
    const size_t size = decode_utf8(bytes, begin).bytes;
    if (!strippable(bytes.substr(begin, size))) break;
    begin += size;
  }
  while (right && end > begin) {
    const size_t last = last_character(bytes, end);
    if (!strippable(bytes.substr(last, end - last))) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

Text replace(const Text& text, std::string_view from, const Text& to, int64_t count) {
  Text out;
  size_t done = 0;
  const std::string_view bytes = text.bytes();
  if (from.empty()) {  // between all characters, as Python does
    for (size_t i = 0; i <= bytes.size(); ++i) {
      if (count-- != 0) out.append(to);
      if (i == bytes.size()) break;
      const size_t size = decode_utf8(bytes, i).bytes;
      out.append(text.substr(i, size));
      i += size - 1;
    }
    return out;
  }
  while (count-- != 0) {
    const size_t found = find_text(bytes, from, done);
    if (found == std::string_view::npos) break;
    out.append(text.substr(done, found - done));
    out.append(to);
    done = found + from.size();
  }
  out.append(text.substr(done));
  return out;
}

std::vector<Text> split(Interpreter* in, const Text& text, const Text* separator, int64_t max_splits, bool from_right,
                        int line) {
  if (separator == nullptr) return split_white_space(in, text, max_splits, from_right, line);
  std::vector<Text> parts;
  const auto add = [&](size_t begin, size_t end) {
    in->charge_bytes(kValueBytes + end - begin, line);
    parts.push_back(text.substr(begin, end - begin));
  };
  const std::string_view bytes = text.bytes();
  const std::string_view mark = separator->bytes();
  if (from_right) {  // from the left in the reversed text
    const std::string reversed(bytes.rbegin(), bytes.rend());
    const std::string reversed_mark(mark.rbegin(), mark.rend());
    size_t begin = 0;
    while (max_splits-- != 0) {
      const size_t found = find_text(reversed, reversed_mark, begin);
      if (found == std::string_view::npos) break;
      add(bytes.size() - found, bytes.size() - begin);
      begin = found + mark.size();
    }
    add(0, bytes.size() - begin);
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t begin = 0;
  while (max_splits-- != 0) {
    const size_t found = find_text(bytes, mark, begin);
    if (found == std::string_view::npos) break;
    add(begin, found);
    begin = found + mark.size();
  }
  add(begin, bytes.size());
  return parts;
}

std::vector<Text> split_lines(Interpreter* in, const Text& text, bool keep_ends, int line) {
  std::vector<Text> lines;
  const std::string& bytes = text.bytes();
  for (size_t begin = 0; begin < bytes.size();) {
    const size_t end = std::min(bytes.find_first_of("\r\n", begin), bytes.size());
    size_t next = end;
    if (next < bytes.size()) next += bytes[next] == '\r' && next + 1 < bytes.size() && bytes[next + 1] == '\n' ? 2 : 1;
    in->charge_bytes(kValueBytes + next - begin, line);
    lines.push_back(text.substr(begin, (keep_ends ? next : end) - begin));
    begin = next;
  }
  return lines;
}

size_t word_count(const Text& text) {
  size_t count = 0;
  for_each_word(text.bytes(), [&](size_t, size_t) { ++count; });
  return count;
}

// std::string::find takes time proportional to the product of the lengths.
size_t find_text(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  const std::string_view rest = text.substr(from);
  if (part.empty()) return from;
  const void* found = memmem(rest.data(), rest.size(), part.data(), part.size());
  if (found == nullptr) return std::string_view::npos;
  return from + static_cast<size_t>(static_cast<const char*>(found) - rest.data());
}

size_t find_last_text(std::string_view text, std::string_view part) {
  const size_t found = find_text(std::string(text.rbegin(), text.rend()), std::string(part.rbegin(), part.rend()));
  return found == std::string_view::npos ? found : text.size() - found - part.size();
}

Text change_case(const Text& text, LetterCase letter_case) {
  Text out;
  bool after_letter = false;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text.bytes(), i);
    if (!c.valid) {
      out.append(text.substr(i, c.bytes));
    } else {
      const auto code = static_cast<utf8proc_int32_t>(c.code_point);
      const bool upper = letter_case == LetterCase::kUpper || (letter_case == LetterCase::kTitle && !after_letter) ||
                         (letter_case == LetterCase::kCapitalize && i == 0);
      std::string changed;
      append_utf8(static_cast<char32_t>(upper ? utf8proc_toupper(code) : utf8proc_tolower(code)), &changed);
      out.append(changed, text.from_input(i));
      const utf8proc_category_t kind = utf8proc_category(code);
      after_letter = kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
    }
    i += c.bytes;
  }
  return out;
}

}  // namespace tessera::jinja
