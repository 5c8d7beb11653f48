// From token pieces to text that can be shown at once: whole UTF-8 characters only, and never the beginning of a stop string
// before it is known not to be one. Used wherever tokens are streamed.
#ifndef TESSERA_RUNTIME_TEXT_STREAM_H_
#define TESSERA_RUNTIME_TEXT_STREAM_H_

#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stop_strings = {});

  // Takes the bytes of the next token; returns what may be shown now. Once a stop string appeared, stopped() is true, the text
  // ends before it and later pieces give nothing.
  std::string push(std::string_view piece);
  // The end: what was held back, with U+FFFD for bytes that are no character.
  std::string flush();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stop_strings_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace tessera

#endif  // TESSERA_RUNTIME_TEXT_STREAM_H_
