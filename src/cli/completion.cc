// `tessera completion bash|zsh|fish`: a script for the shell, made from the declared flags, so that it knows every
// verb, flag and enumerated value that this program knows.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cli/declaration.h"
#include "cli/verb.h"

namespace tessera {
namespace {

// Every verb below app with its words: {"eval", "kl"}.
struct Node {
  CLI::App* verb;
  std::string path;  // "eval kl"; "" for the program itself
  std::vector<Flag> flags;
  std::vector<CLI::App*> children;
};

void collect(CLI::App& verb, const std::string& path, std::vector<Node>* nodes) {
  nodes->push_back({&verb, path, flags_of(verb), verbs_of(verb)});
  for (CLI::App* child : verbs_of(verb))
    collect(*child, path.empty() ? child->get_name() : path + " " + child->get_name(), nodes);
}

std::string child_names(const Node& node) {
  std::string names;
  for (const CLI::App* child : node.children) names += (names.empty() ? "" : " ") + child->get_name();
  return names;
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

std::string shell_word(const std::string& text) { return "'" + replace_all(text, "'", "'\\''") + "'"; }

// The help up to its first semicolon: one line of a menu.
std::string summary(const Flag& flag) {
  const std::string text = flag.option->get_description();
  return text.substr(0, text.find_first_of(";\n"));
}

// ---- bash

constexpr const char* kBashHead =
    R"(# bash completion of tessera. Now: source <(tessera completion bash). Always: the same line in ~/.bashrc.
_tessera() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb='' words='' values='' kind='' i
  # bash cuts --type=q4 into three words.
  if [[ $cur == '=' ]]; then
    cur=''
  elif [[ $prev == '=' ]]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$verb ${COMP_WORDS[i]}" in
)";

constexpr const char* kBashTail = R"(  esac
  if [[ -n $kind ]]; then
    words=$values
  elif [[ $cur != -* ]]; then
    kind=$position
    words=$children
  fi
  COMPREPLY=()
  [[ $kind == none ]] && return
  [[ -n $words ]] && mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  if [[ $kind == file ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
  fi
}
complete -F _tessera tessera
)";

const char* bash_kind(const Flag& flag) {
  switch (flag.kind) {
    case ValueKind::kChoice: return "choice";
    case ValueKind::kFile:
    case ValueKind::kText: return "file";
    default: return "none";
  }
}

// What may follow in one verb: its flags, its verbs and choices of bare arguments, files or not, and what each flag
// takes.
std::string bash_case(const Node& node) {
  std::string flags = "--help", children = child_names(node), position = node.children.empty() ? "none" : "words",
              values;
  for (const Flag& flag : node.flags) {
    for (const std::string& name : flag.names) flags += " " + name;
    if (!flag.position.empty() && position != "file") position = flag.kind == ValueKind::kChoice ? "words" : "file";
    if (!flag.position.empty())
      children += fmt::format("{}{}", children.empty() ? "" : " ", fmt::join(flag.choices, " "));
    if (flag.kind == ValueKind::kNone || flag.names.empty()) continue;
    values += fmt::format("        {}) kind={} values='{}' ;;\n", fmt::join(flag.names, "|"), bash_kind(flag),
                          fmt::join(flag.choices, " "));
  }
  std::string text =
      fmt::format("    '{}')\n      words='{}' children='{}' position={}\n", node.path, flags, children, position);
  if (!values.empty()) text += "      case $prev in\n" + values + "      esac\n";
  return text + "      ;;\n";
}

std::string bash_script(const std::vector<Node>& nodes) {
  std::string text = kBashHead, pattern;
  for (const Node& node : nodes) {
    for (const CLI::App* child : node.children) {
      text += fmt::format("      '{} {}') verb='{}{}{}' ;;\n", node.path, child->get_name(), node.path,
                          node.path.empty() ? "" : " ", child->get_name());
    }
  }
  text +=
      "      ' help') ;;\n      *) break ;;\n    esac\n  done\n  local children='' position=none\n  case $verb in\n";
  for (const Node& node : nodes) text += bash_case(node);
  return text + kBashTail;
}

// ---- zsh

std::string zsh_text(std::string text) {
  for (const char* special : {"\\", "[", "]", ":"}) text = replace_all(text, special, std::string("\\") + special);
  return text;
}

std::string zsh_action(const Flag& flag) {
  switch (flag.kind) {
    case ValueKind::kChoice: return fmt::format("({})", fmt::join(flag.choices, " "));
    case ValueKind::kFile:
    case ValueKind::kText: return "_files";
    default: return " ";
  }
}

std::string zsh_flag(const Flag& flag) {
  const std::string value =
      flag.kind == ValueKind::kNone ? "" : ":" + zsh_text(flag.placeholder) + ":" + zsh_action(flag);
  const std::string excluded = flag.repeatable ? "*" : fmt::format("({})", fmt::join(flag.names, " "));
  std::string text;
  for (const std::string& name : flag.names) {
    text += " \\\n    " + shell_word(excluded + name + "[" + zsh_text(summary(flag)) + "]" + value);
  }
  return text;
}

std::string zsh_function(const Node& node) {
  const std::string name = "_tessera" + (node.path.empty() ? "" : "_" + replace_all(node.path, " ", "_"));
  std::string text = name + "() {\n  local state line\n  _arguments -C '--help[Show the help]'";
  for (const Flag& flag : node.flags) text += zsh_flag(flag);
  if (node.children.empty()) {
    for (const Flag& flag : node.flags) {
      if (!flag.position.empty()) text += " \\\n    " + shell_word("::" + zsh_text(flag.position) + ":" + zsh_action(flag));
    }
    return text + "\n}\n";
  }
  text += " \\\n    '1: :->verb' '*:: :->rest'\n  case $state in\n    verb)\n      local -a verbs=(";
  for (const CLI::App* child : node.children) {
    text += "\n        " + shell_word(child->get_name() + ":" + zsh_text(child->get_description()));
  }
  text += ")\n      _describe verb verbs ;;\n    rest) (( $+functions[" + name + "_$line[1]] )) && " + name +
          "_$line[1] ;;\n  esac\n}\n";
  return text;
}

std::string zsh_script(const std::vector<Node>& nodes) {
  std::string text =
      "#compdef tessera\n# zsh completion of tessera. Now: source <(tessera completion zsh).\n"
      "# Always: tessera completion zsh > a folder of $fpath/_tessera.\n";
  for (const Node& node : nodes) text += zsh_function(node);
  return text + "compdef _tessera tessera\n";
}

// ---- fish

// Holds when the words of the node's path were typed and none of its verbs.
std::string fish_condition(const Node& node) {
  std::string text = node.path.empty() ? "__fish_use_subcommand" : "";
  for (const std::string& word : CLI::detail::split(node.path, ' ')) {
    if (!word.empty()) text += (text.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + word);
  }
  if (!node.path.empty() && !node.children.empty())
    text += "; and not __fish_seen_subcommand_from " + child_names(node);
  return shell_word(text);
}

std::string fish_value(const Flag& flag) {
  switch (flag.kind) {
    case ValueKind::kNone: return "";
    case ValueKind::kChoice: return " -x -a " + shell_word(fmt::format("{}", fmt::join(flag.choices, " ")));
    case ValueKind::kFile:
    case ValueKind::kText: return " -r -F";
    default: return " -x";
  }
}

std::string fish_script(const std::vector<Node>& nodes) {
  std::string text =
      "# fish completion of tessera. Now: tessera completion fish | source.\n"
      "# Always: tessera completion fish > ~/.config/fish/completions/tessera.fish\ncomplete -c tessera -f\n";
  for (const Node& node : nodes) {
    const std::string begin = "complete -c tessera -n " + fish_condition(node);
    for (const CLI::App* child : node.children) {
      text += begin + " -a " + child->get_name() + " -d " + shell_word(child->get_description()) + "\n";
    }
    for (const Flag& flag : node.flags) {
      if (!flag.position.empty()) {
        text += begin +
                (flag.choices.empty() ? " -F" : " -a " + shell_word(fmt::format("{}", fmt::join(flag.choices, " ")))) +
                "\n";
      }
      if (flag.names.empty()) continue;
      text += begin;
      for (const std::string& name : flag.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      text += fish_value(flag) + " -d " + shell_word(summary(flag)) + "\n";
    }
  }
  return text;
}

}  // namespace

void add_completion_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("completion", "Print a script that completes verbs, flags and values in a shell");
  const auto shell = std::make_shared<std::string>();
  verb->add_option("shell", *shell, "The shell")
      ->required()
      ->type_name("SHELL")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->footer(
      "Examples:\n"
      "  source <(tessera completion bash)       in ~/.bashrc\n"
      "  source <(tessera completion zsh)        in ~/.zshrc, after compinit\n"
      "  tessera completion fish | source        in ~/.config/fish/config.fish");
  verb->callback([&app, shell, run] {
    run([&]() -> Status {
      std::vector<Node> nodes;
      collect(app, "", &nodes);
      const std::string script = *shell == "bash"  ? bash_script(nodes)
                                 : *shell == "zsh" ? zsh_script(nodes)
                                                   : fish_script(nodes);
      std::fputs(script.c_str(), stdout);
      return {};
    });
  });
}

}  // namespace tessera
