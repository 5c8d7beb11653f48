// Which sources this program was built from: written anew by build_commit.cmake whenever the commit changes.
#ifndef TESSERA_CLI_BUILD_COMMIT_H_
#define TESSERA_CLI_BUILD_COMMIT_H_

namespace tessera {

const char* build_commit();  // "762a4ec", "762a4ec-dirty" with uncommitted changes, "unknown" outside a repository
int build_number();          // commits up to it; 0: unknown

}  // namespace tessera

#endif  // TESSERA_CLI_BUILD_COMMIT_H_
