# What `cmake --install` installs: the program with its manual page and completions, the header, the
# shared and the static library, and the files by which pkg-config and CMake find them.
include(CMakePackageConfigHelpers)

# The static library to ship is one object whose internal names are local: a program that links it
# may have a function called fail() of its own. Our program links it too, and so cannot reach past
# the public header.
set(whole ${PROJECT_BINARY_DIR}/package/gptoss.o)
add_custom_command(
    OUTPUT ${whole}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/package
    COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${whole} $<TARGET_OBJECTS:gptoss_objects>
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${whole}
    DEPENDS gptoss_objects $<TARGET_OBJECTS:gptoss_objects>
    COMMENT "Joining the library's objects"
    COMMAND_EXPAND_LISTS VERBATIM)
add_library(gptoss_package STATIC ${whole})
set_target_properties(gptoss_package PROPERTIES
    LINKER_LANGUAGE C OUTPUT_NAME gptoss EXPORT_NAME static
    ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/package)
set_target_properties(gptoss_shared PROPERTIES EXPORT_NAME gptoss)
target_include_directories(gptoss_package INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(gptoss_package PRIVATE ${gptoss_libraries})

# ---- libraries -------------------------------------------------------------------------------

set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/gptoss)
install(FILES ${PROJECT_SOURCE_DIR}/include/gptoss.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS gptoss_shared gptoss_package EXPORT gptoss
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT gptoss NAMESPACE gptoss:: FILE gptossTargets.cmake DESTINATION ${package_directory})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/gptossConfig.cmake.in
    ${PROJECT_BINARY_DIR}/package/gptossConfig.cmake INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/gptossConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/gptossConfig.cmake
    ${PROJECT_BINARY_DIR}/package/gptossConfigVersion.cmake DESTINATION ${package_directory})

# The .pc file finds its prefix from where it lies, so that the tree can be moved.
set(pkgconfig_directory ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH prefix_from_pc /prefix/${pkgconfig_directory} /prefix)
string(REGEX REPLACE "/$" "" prefix_from_pc ${prefix_from_pc})
if(GPTOSS_OPENMP)
    set(openmp_flags ${OpenMP_C_FLAGS})
endif()
if(GPTOSS_BLAS)
    list(JOIN OPENBLAS_LDFLAGS " " blas_flags) # its own module would add a Fortran library's
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/gptoss.pc.in ${PROJECT_BINARY_DIR}/package/gptoss.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/gptoss.pc DESTINATION ${pkgconfig_directory})

# ---- the program -----------------------------------------------------------------------------

# Adds a file that the program writes about itself.
function(gptoss_document file directory)
    set(path ${PROJECT_BINARY_DIR}/package/${file})
    add_custom_command(OUTPUT ${path}
        COMMAND gptoss ${ARGN} > ${path} DEPENDS gptoss COMMENT "Writing ${file}" VERBATIM)
    set_property(GLOBAL APPEND PROPERTY gptoss_documents ${path})
    install(FILES ${path} DESTINATION ${directory})
endfunction()

install(TARGETS gptoss RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(NOT CMAKE_CROSSCOMPILING)
    gptoss_document(gptoss.1 ${CMAKE_INSTALL_MANDIR}/man1 help --man)
    gptoss_document(bash/gptoss ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        completion bash)
    gptoss_document(zsh/_gptoss ${CMAKE_INSTALL_DATADIR}/zsh/site-functions completion zsh)
    gptoss_document(fish/gptoss.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
        completion fish)
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/package/bash ${PROJECT_BINARY_DIR}/package/zsh
        ${PROJECT_BINARY_DIR}/package/fish)
    get_property(documents GLOBAL PROPERTY gptoss_documents)
    add_custom_target(gptoss_documents ALL DEPENDS ${documents})
endif()
