# What the library and the program link to. Sets CLATTN_OPENCL and CLATTN_CLBLAST to what is asked for; a missing one is
# an error that says how to go on, never a smaller library in silence. libpng and SentencePiece are optional, for the program.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig QUIET)

if(CLATTN_OPENCL)
  find_package(OpenCLHeaders CONFIG QUIET)
  find_package(OpenCLICDLoader CONFIG QUIET) # Khronos' loader, where installed
  if(NOT OpenCLICDLoader_FOUND)
    find_package(OpenCL 1.2 QUIET) # any compatible loader
  endif()
  if(NOT TARGET OpenCL::OpenCL)
    message(FATAL_ERROR "No OpenCL loader and headers found (Debian: ocl-icd-opencl-dev opencl-headers; "
      "sh cmake/setup.sh installs them). Configure with -DCLATTN_OPENCL=OFF for the CPU engines alone.")
  endif()
elseif(CLATTN_CLBLAST)
  message(FATAL_ERROR "CLATTN_CLBLAST needs CLATTN_OPENCL")
endif()

if(CLATTN_CLBLAST)
  # Debian's CMake package of CLBlast has no version, so its pkg-config file is asked first.
  if(PkgConfig_FOUND)
    pkg_check_modules(CLBLAST QUIET IMPORTED_TARGET clblast>=1.5.3)
  endif()
  if(CLBLAST_FOUND)
    set(CLATTN_CLBLAST_TARGET PkgConfig::CLBLAST)
  else()
    find_package(CLBlast CONFIG QUIET)
    if(NOT CLBlast_FOUND OR (CLBlast_VERSION AND CLBlast_VERSION VERSION_LESS 1.5.3))
      message(FATAL_ERROR "No CLBlast >= 1.5.3 found (Debian: libclblast-dev; sh cmake/setup.sh installs it). "
        "Configure with -DCLATTN_CLBLAST=OFF to go without the opencl-unfused engine.")
    endif()
    set(CLATTN_CLBLAST_TARGET clblast)
  endif()
endif()

if(CLATTN_CLI AND PkgConfig_FOUND)
  pkg_check_modules(PNG QUIET IMPORTED_TARGET libpng)
  if(CLATTN_LAYERS AND NOT CLATTN_SANITIZE) # sub-words of `clattn words`; a C++ library
    pkg_check_modules(SENTENCEPIECE QUIET IMPORTED_TARGET sentencepiece>=0.1.97)
    include(CheckLanguage)
    check_language(CXX)
  endif()
endif()

# A C++ library, so only where there is a compiler for it too.
if(CLATTN_CLI AND CLATTN_LAYERS AND TARGET PkgConfig::SENTENCEPIECE AND CMAKE_CXX_COMPILER)
  enable_language(CXX)
else()
  set(SENTENCEPIECE_FOUND FALSE)
endif()
