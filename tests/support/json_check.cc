// json_check POINTER: reads one JSON text from standard input and prints the value at the JSON pointer ("" is the whole).
#include <iostream>
#include <nlohmann/json.hpp>

int main(int argc, char** argv) {
  const auto json = nlohmann::json::parse(std::cin, nullptr, false);
  if (argc != 2 || json.is_discarded()) return 1;
  const nlohmann::json::json_pointer pointer(argv[1]);
  if (!json.contains(pointer)) return 1;
  std::cout << json.at(pointer).dump() << "\n";
}
