// on_terminal COMMAND...: runs a command with a terminal of 100 columns as its input, output and errors, and copies what it
// writes there to standard output. Exit code: the command's.
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

int main(int argc, char** argv) {
  struct winsize size {24, 100, 0, 0};
  int terminal = -1;
  const pid_t child = argc < 2 ? -1 : forkpty(&terminal, nullptr, nullptr, &size);
  if (child < 0) return 2;
  if (child == 0) {
    execvp(argv[1], argv + 1);
    _exit(127);
  }
  char buffer[4096];
  for (ssize_t n; (n = read(terminal, buffer, sizeof buffer)) > 0;) std::fwrite(buffer, 1, static_cast<size_t>(n), stdout);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
