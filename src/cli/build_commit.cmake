# cmake -DSOURCE=folder -DOUTPUT=file -P build_commit.cmake: writes the definitions of build_commit.h, when they changed.
set(commit "unknown")
set(number 0)
find_program(GIT git)
if(GIT AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${GIT} -C ${SOURCE} describe --always --dirty --exclude=* --abbrev=7
    OUTPUT_VARIABLE described RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-list --count HEAD
    OUTPUT_VARIABLE counted RESULT_VARIABLE uncounted OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed AND NOT uncounted)
    set(commit ${described})
    set(number ${counted})
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#include "cli/build_commit.h"

namespace tessera {

const char* build_commit() { return "@commit@"; }
int build_number() { return @number@; }

}  // namespace tessera
]])
