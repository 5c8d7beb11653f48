#include "cli/verb.h"

int main(int argc, char** argv) { return tessera::cli_main(argc, argv); }
