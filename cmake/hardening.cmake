# What makes mistakes harder to use against those who run the program: gptoss_hardening goes to the
# library and the program, in optimised builds without sanitizers. tests/arch looks for all of it in
# what was built.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckPIESupported)
option(GPTOSS_HARDEN "Build library and program with the compiler's and linker's protections" ON)

add_library(gptoss_hardening INTERFACE)
set(hardened FALSE)
if(GPTOSS_HARDEN AND CMAKE_BUILD_TYPE MATCHES "^Rel" AND NOT CMAKE_C_FLAGS MATCHES "-fsanitize")
    set(hardened TRUE)
    check_pie_supported()
    set(CMAKE_POSITION_INDEPENDENT_CODE ON)

    # Level 3 needs both compiler and C library; those that lack it warn and take 2.
    set(CMAKE_REQUIRED_FLAGS "-O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
    check_c_source_compiles("#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }"
        GPTOSS_HAS_FORTIFY_3)
    unset(CMAKE_REQUIRED_FLAGS)
    set(fortify $<IF:$<BOOL:${GPTOSS_HAS_FORTIFY_3}>,3,2>)
    set(flags -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${fortify})

    foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
            -mbranch-protection=standard)
        string(MAKE_C_IDENTIFIER "GPTOSS_HAS${flag}" known)
        check_c_compiler_flag(${flag} ${known}) # the last two belong to one processor each
        if(${known})
            list(APPEND flags ${flag})
        endif()
    endforeach()
    target_compile_options(gptoss_hardening INTERFACE ${flags})
    target_link_options(gptoss_hardening INTERFACE
        -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()
